"""From cards to statements: columns, continuation, comments, in-stream data.

A card has 80 columns; 73 to 80 are a sequence number. A statement goes on when its operands end with a comma
(from column 4 to 16 of the next card) or within quotes at column 71 (at column 16 of the next).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

WIDTH = 80
_LAST = 71  # the last column of operands
_STATEMENT = re.compile(r"//(\S*)(?:\s+(\S+)(?:\s+(.*))?)?")
_FIRST, _LATEST = 3, 15  # columns 4 to 16, counted from 0


class JclError(Exception):
    """What the converter says; `card` is the number of the card, counted from 1."""

    def __init__(self, message: str, card: int = 0) -> None:
        super().__init__(message)
        self.card = card


@dataclass
class Statement:
    """`//name operation operands`, with the in-stream data that follows a DD."""

    name: str
    operation: str
    operands: str
    card: int
    data: list[str] = field(default_factory=list)


def statements(cards: Sequence[str]) -> Iterator[Statement]:
    """Raises JclError."""
    at = 0
    while at < len(cards):
        card = cards[at]
        if card.startswith(("//*", "/*")):
            at += 1
            continue
        if not card.startswith("//"):
            raise JclError("IEFC006I INVALID CARD OUTSIDE OF IN-STREAM DATA", at + 1)
        if not card[2:].strip():
            return
        statement, at = _gathered(cards, at)
        if statement.operation == "DD" and (end := _ends_with(statement)):
            at = _data(cards, at, end, statement)
        yield statement


def _gathered(cards: Sequence[str], at: int) -> tuple[Statement, int]:
    """The statement that begins at `at`, with the cards on which it goes on; the number of the next card."""
    first = at
    found = _STATEMENT.match(cards[at][:_LAST])
    if found is None or found[2] is None:
        raise JclError("IEFC605I UNIDENTIFIED OPERATION FIELD", first + 1)
    text, operation = found[3] or "", found[2]
    if operation == "IF":
        return _condition(cards, first, found[1], text)
    operands = ""
    while True:
        field_, quoted = _field(operands, text)
        operands = field_
        at += 1
        if not quoted and not operands.endswith(","):
            return Statement(found[1], operation, operands, first + 1), at
        text = _continued(cards, at, quoted, first)


def _condition(cards: Sequence[str], first: int, name: str, text: str) -> tuple[Statement, int]:
    at = first + 1
    while not re.search(r"\bTHEN\b", text):
        text += " " + _continued(cards, at, False, first)
        at += 1
    return Statement(name, "IF", text[: text.rindex("THEN")].strip(), first + 1), at


def _field(before: str, text: str) -> tuple[str, bool]:
    """`before` and the operands at the start of `text`, up to the first blank outside of quotes; whether a
    quote is still open at the end of the card."""
    quoted = before.count("'") % 2 == 1
    for at, character in enumerate(text):
        if character == "'":
            quoted = not quoted
        elif character == " " and not quoted:
            return before + text[:at], False
    return before + text, quoted


def _continued(cards: Sequence[str], at: int, quoted: bool, first: int) -> str:
    while at < len(cards) and cards[at].startswith("//*"):
        raise JclError("IEFC621I EXPECTED CONTINUATION NOT RECEIVED", first + 1)
    card = cards[at][:_LAST] if at < len(cards) else ""
    if not card.startswith("// "):
        raise JclError("IEFC621I EXPECTED CONTINUATION NOT RECEIVED", first + 1)
    if quoted:
        if card[2:_LATEST].strip():
            raise JclError("IEFC019I MISPLACED CONTINUATION OF A QUOTED STRING", at + 1)
        return card[_LATEST:]
    start = len(card) - len(card[2:].lstrip())
    if not _FIRST <= start <= _LATEST:
        raise JclError("IEFC621I EXPECTED CONTINUATION NOT RECEIVED", first + 1)
    return card[start:]


def _ends_with(statement: Statement) -> str:
    """What ends the in-stream data of a DD; empty if it has none."""
    first = statement.operands.partition(",")[0]
    delimiter = re.search(r"\bDLM=(?:'([^']{2})'|([^,]{2}))", statement.operands)
    if first not in ("*", "DATA"):
        return ""
    if delimiter:
        return delimiter[1] or delimiter[2]
    return "/*" if first == "DATA" else "//"


def _data(cards: Sequence[str], at: int, end: str, statement: Statement) -> int:
    """Takes the data from `at` on; `//` ends it with the next statement or at a `/*`."""
    while at < len(cards):
        card = cards[at]
        if end == "//" and (card.startswith("//") or card[:2] == "/*"):
            return at + (card[:2] == "/*")
        if end != "//" and card.startswith(end):
            return at + 1
        statement.data.append(card)
        at += 1
    return at
