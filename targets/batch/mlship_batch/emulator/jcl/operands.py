"""Operands: positional and keyword ones, values in brackets and in quotes, symbols."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from mlship_batch.emulator.jcl.cards import JclError

_KEYWORD = re.compile(r"([A-Z@#$][A-Z0-9@#$]*(?:\.[A-Z@#$][A-Z0-9@#$]*)?)=(.*)", re.DOTALL)
_SYMBOL = re.compile(r"&(&?)([A-Z@#$][A-Z0-9@#$]{0,7})(\.?)")


@dataclass
class Operands:
    """`positional` in their order, `keyword` by name; values as they stand, with brackets and quotes."""

    positional: list[str] = field(default_factory=list)
    keyword: dict[str, str] = field(default_factory=dict)

    def known(self, allowed: frozenset[str], card: int) -> None:
        """Raises JclError for a keyword that is none of `allowed`."""
        for name in self.keyword:
            if name not in allowed:
                raise JclError(f"IEFC630I UNIDENTIFIED KEYWORD {name}", card)

    def text(self, name: str, default: str = "") -> str:
        return unquoted(self.keyword.get(name, default))

    def number(self, name: str, default: int, card: int) -> int:
        value = self.keyword.get(name, "")
        if value and not value.isdigit():
            raise JclError(f"IEFC642I EXCESSIVE OR INVALID VALUE {value} IN THE {name} FIELD", card)
        return int(value) if value else default


def read(text: str, card: int) -> Operands:
    """Raises JclError."""
    operands = Operands()
    for part in split(text, card) if text else []:
        found = _KEYWORD.fullmatch(part)
        if found is None:
            operands.positional.append(part)
        elif found[1] in operands.keyword:
            raise JclError(f"IEFC009I KEYWORD {found[1]} IS DUPLICATED ON THE STATEMENT", card)
        else:
            operands.keyword[found[1]] = found[2]
    return operands


def split(text: str, card: int = 0) -> list[str]:
    """The parts between commas that are in no bracket and no quotes. Raises JclError where these do not
    close."""
    parts, depth, quoted = [""], 0, False
    for character in text:
        quoted ^= character == "'"
        depth += 0 if quoted else (character == "(") - (character == ")")
        if character == "," and not depth and not quoted:
            parts.append("")
        else:
            parts[-1] += character
        if depth < 0:
            break
    if depth or quoted:
        raise JclError("IEFC013I UNBALANCED PARENTHESIS OR APOSTROPHE", card)
    return parts


def inner(value: str, card: int = 0) -> list[str]:
    """`(A,B)` as its parts, anything else as the only one."""
    if value.startswith("(") and value.endswith(")"):
        return split(value[1:-1], card)
    return [value]


def unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] == "'":
        return value[1:-1].replace("''", "'")
    return value


def substituted(text: str, symbols: Mapping[str, str]) -> str:
    """Symbols that are set in place of &NAME and &NAME. ; && names a temporary data set and stays."""

    def value(found: re.Match[str]) -> str:
        if found[1] or found[2] not in symbols:
            return found[0]
        return symbols[found[2]]

    return _SYMBOL.sub(value, text)
