"""The text of a copybook to words: reference format (columns 7 to 72, continuation) or free format."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from mlship_runtime.records.faults import CopybookError, Spot

FIXED, FREE, AUTO = "fixed", "free", "auto"
FORMATS = (AUTO, FIXED, FREE)
_INDICATORS = " *-/dD$"
_LAST = 72  # columns after it are for the programmer
_DIRECTIVES = re.compile(r"(EJECT|SKIP[123]|TITLE\b.*)\s*\.?", re.IGNORECASE)
_MOST = 1 << 20  # characters of a copybook


class Word(NamedTuple):
    """A word, a literal with its quotes, or `.`; `spot` is where it begins."""

    text: str
    spot: Spot

    @property
    def upper(self) -> str:
        return self.text.upper()

    @property
    def literal(self) -> bool:
        return self.text[:1] in "'\"" or self.text[:2].upper() in ("X'", 'X"', "Z'", 'Z"', "N'", 'N"')


class _Line(NamedTuple):
    number: int
    first: int  # column of the first character of `text`
    text: str
    continues: bool


def words_of(text: str, name: str = "the copybook", form: str = AUTO) -> list[Word]:
    """The words of a copybook; `name` is for messages. Raises CopybookError."""
    if len(text) > _MOST:
        raise CopybookError(name, Spot(1, 1), f"it is longer than {_MOST} characters")
    lines = [line.expandtabs(8).rstrip() for line in text.replace("\x1a", "").splitlines()]
    if form == AUTO:
        form = _format_of(lines)
    logical = list(_fixed(lines, name) if form == FIXED else _free(lines))
    return list(_words(_joined(logical, name), name))


def _format_of(lines: list[str]) -> str:
    """Fixed, if column 7 of each line holds what it may there and something stands behind it."""
    if any(re.match(r"\s*>>\s*SOURCE\b.*\bFREE\b", line, re.IGNORECASE) for line in lines):
        return FREE
    if any(len(line) > 6 and line[6] not in _INDICATORS for line in lines):
        return FREE
    begun = [line for line in lines if line.strip() and line[6:7] not in ("*", "/")]
    return FREE if begun and not any(line[7:_LAST].strip() for line in begun) else FIXED


def _fixed(lines: list[str], name: str) -> Iterator[_Line]:
    for number, line in enumerate(lines, 1):
        indicator, content = line[6:7] or " ", line[7:_LAST]
        if (
            indicator in "*/dD$"
            or _DIRECTIVES.fullmatch(content.strip())
            or content.lstrip().startswith(">>")
        ):
            continue
        if indicator not in _INDICATORS:
            raise CopybookError(
                name,
                Spot(number, 7),
                f"{indicator!r} stands in column 7",
                fix="Say --source free if it is free",
            )
        if indicator == "-":
            yield _Line(number, 8, content, True)
        elif content.strip():
            yield _Line(number, 8, content, False)


def _free(lines: list[str]) -> Iterator[_Line]:
    for number, line in enumerate(lines, 1):
        content = line.strip()
        if content and not content.startswith((">>", "*", "$")) and not _DIRECTIVES.fullmatch(content):
            yield _Line(number, 1, line, False)


_Char = tuple[str, Spot]


def _joined(lines: list[_Line], name: str) -> list[_Char]:
    """All characters with their spots; continued words and literals are put together."""
    found: list[_Char] = []
    quote = ""  # of a literal that is not closed yet
    for line in lines:
        text, at = line.text, 0
        if line.continues:
            at = len(text) - len(text.lstrip())
            if quote:  # the literal goes on to column 72, and after the quote of this line
                last = found[-1][1]
                found += [(" ", last)] * (_LAST - last.column)
                if text[at : at + 1] != quote:
                    raise CopybookError(name, Spot(line.number, 8), "a continued literal needs its quote")
                at += 1
        else:
            quote = ""
            if found:
                found.append(("\n", Spot(line.number, 1)))
        for place in range(at, len(text)):
            char = text[place]
            found.append((char, Spot(line.number, line.first + place)))
            if quote or char in "'\"":
                quote = "" if char == quote else quote or char
    return found


def _words(chars: list[_Char], name: str) -> Iterator[Word]:
    at, end = 0, len(chars)
    while at < end:
        char, spot = chars[at]
        if char.isspace():
            at += 1
        elif char == "*" and at + 1 < end and chars[at + 1][0] == ">":
            while at < end and chars[at][0] != "\n":
                at += 1
        else:
            text, at = _literal(chars, at, name) if _opens(chars, at) else _plain(chars, at)
            yield from _parted(text, spot)


def _opens(chars: list[_Char], at: int) -> bool:
    char = chars[at][0]
    follows = chars[at + 1][0] if at + 1 < len(chars) else ""
    return char in "'\"" or (char in "xXzZnN" and follows in ("'", '"'))


def _literal(chars: list[_Char], at: int, name: str) -> tuple[str, int]:
    spot, text = chars[at][1], ""
    if chars[at][0] not in "'\"":
        text, at = chars[at][0], at + 1
    quote = chars[at][0]
    text, at = text + quote, at + 1
    while at < len(chars) and chars[at][0] != "\n":
        char = chars[at][0]
        text, at = text + char, at + 1
        if char == quote:
            if at < len(chars) and chars[at][0] == quote:
                text, at = text + quote, at + 1
                continue
            return text, at
    raise CopybookError(name, spot, "a literal has no end")


def _plain(chars: list[_Char], at: int) -> tuple[str, int]:
    text = ""
    while at < len(chars) and not chars[at][0].isspace():
        text, at = text + chars[at][0], at + 1
    return text, at


def _parted(text: str, spot: Spot) -> Iterator[Word]:
    """A word without the commas and the full stop that end it."""
    stopped = text.endswith(".") and text[:1] not in "'\""
    text = text[:-1] if stopped else text
    text = text if text[:1] in "'\"" else text.rstrip(",;")
    if text:
        yield Word(text, spot)
    if stopped:
        yield Word(".", Spot(spot.line, spot.column + len(text)))
