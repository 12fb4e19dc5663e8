"""IBM-1047, which z/OS UNIX and z/OSMF mean by default and Python lacks: cp037 with four pairs swapped."""

from __future__ import annotations

_SWAPPED = [(0xAD, 0xBA), (0xBD, 0xBB), (0x5F, 0xB0), (0x15, 0x25)]


def _table() -> str:
    table = list(bytes(range(256)).decode("cp037"))
    for one, other in _SWAPPED:
        table[one], table[other] = table[other], table[one]
    return "".join(table)


_TEXT = _table()
_BYTES = {ord(character): number for number, character in enumerate(_TEXT)}
_SUBSTITUTE = 0x6F  # ?


def from_ebcdic(data: bytes) -> str:
    return data.decode("latin-1").translate(dict(enumerate(_TEXT)))


def to_ebcdic(text: str) -> bytes:
    """What IBM-1047 does not have becomes a question mark."""
    return bytes(_BYTES.get(ord(character), _SUBSTITUTE) for character in text)
