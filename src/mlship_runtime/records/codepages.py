"""Code pages: what the bytes of texts and zoned numbers mean. Standard library only."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from mlship_runtime.errors import BadInput
from mlship_runtime.records.codepages_data import DIFFERENCES

DEFAULT = "cp037"
UNDEFINED = "�"
_PLAIN = ("ascii", "latin-1", "cp1252")
NAMES = tuple(sorted({"cp037", *DIFFERENCES})) + _PLAIN


class CodePage(NamedTuple):
    """`characters` has the one of each byte, UNDEFINED where there is none."""

    name: str
    characters: str
    ebcdic: bool

    @property
    def blank(self) -> int:
        return 0x40 if self.ebcdic else 0x20

    @property
    def zone(self) -> int:
        """The high nibble of digits."""
        return 0xF if self.ebcdic else 0x3

    def sign_byte(self, plus: bool) -> int:
        return self.characters.index("+" if plus else "-")

    def bytes_of(self) -> dict[str, int]:
        """The byte of each character; the lower one of two."""
        found: dict[str, int] = {}
        for byte, character in enumerate(self.characters):
            if character != UNDEFINED:
                found.setdefault(character, byte)
        return found


@lru_cache(maxsize=64)
def code_page(name: str) -> CodePage:
    """By a name as `cp1047`, `IBM-1047`, `1047` or `ascii`; raises BadInput for one that is not known."""
    wanted = name.lower().replace("_", "-")
    for prefix in ("ibm-", "ibm", "ccsid", "cp-", "cp"):
        if wanted.startswith(prefix) and wanted[len(prefix) :][:1].isdigit():
            wanted = wanted[len(prefix) :]
            break
    wanted = f"cp{wanted.zfill(3)}" if wanted[:1].isdigit() else wanted
    if wanted not in NAMES:
        raise BadInput(f"{name!r} is no code page that is known", fix=f"Known are {', '.join(NAMES)}")
    if wanted in _PLAIN:
        return CodePage(wanted, bytes(range(256)).decode(wanted, "replace"), False)
    return CodePage(wanted, _table(wanted), True)


def _table(name: str) -> str:
    if name == "cp037":
        return bytes(range(256)).decode("cp037")
    like, places, characters = DIFFERENCES[name]
    table = list(_table(like))
    for byte, character in zip(bytes.fromhex(places), characters):
        table[byte] = character
    return "".join(table)
