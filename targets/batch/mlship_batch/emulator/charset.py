"""Text as the host keeps it: in IBM-1047, which z/OS UNIX and z/OSMF mean by default, or in another page."""

from __future__ import annotations

from functools import lru_cache

from mlship_runtime.records.codepages import CodePage, code_page

DEFAULT = "IBM-1047"
_SUBSTITUTE = "?"


def from_ebcdic(data: bytes, page: str = DEFAULT) -> str:
    """Raises BadInput for a code page that is not known."""
    return data.decode("latin-1").translate(_tables(page)[0])


def to_ebcdic(text: str, page: str = DEFAULT) -> bytes:
    """What the code page does not have becomes a question mark, as on the host. Raises BadInput."""
    known = _tables(page)[1]
    substitute = known[_SUBSTITUTE]
    return bytes(known.get(character, substitute) for character in text)


@lru_cache(maxsize=8)
def _tables(page: str) -> tuple[dict[int, str], dict[str, int]]:
    found: CodePage = code_page(page)
    return dict(enumerate(found.characters)), found.bytes_of()
