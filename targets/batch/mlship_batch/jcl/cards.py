"""One statement as cards: operands up to column 71, gone on with after a comma; text in quotes that is longer
goes on at column 16 of the next card."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mlship.errors import ConfigError

_LAST = 71
_MARGIN = "//   "  # after a comma, what goes on begins in any of the columns 4 to 16
_QUOTED_MARGIN = "//" + " " * 13


def statement(name: str, operation: str, operands: Sequence[str]) -> list[str]:
    """`operands` are whole (KEY=VALUE). Raises ConfigError for one that fits on no card."""
    line = f"//{name} {operation}" if operands else f"//{name:<8} {operation}"
    line, cards = f"{line:<15} " if operands else line, []
    for at, text in enumerate(_fragments(",".join(operands))):
        if at and len(line) + len(text) > _LAST:
            cards.append(line)
            line = _MARGIN
        if len(line) + len(text) > _LAST:
            line, *rest = reversed(_broken(line, text))
            cards += reversed(rest)
        else:
            line += text
    return [*cards, line]


def quoted(text: str) -> str:
    """Between quotes, those within doubled."""
    return "'" + text.replace("'", "''") + "'"


def condition(tests: Sequence[str]) -> list[str]:
    """IF with its tests, each on a card of its own, and THEN."""
    lines = [f"// IF ({tests[0]}", *(f"//   {test}" for test in tests[1:])]
    return [*(line + " AND" for line in lines[:-1]), lines[-1] + ") THEN"]


def _fragments(text: str) -> Iterator[str]:
    """Up to each comma that is in no quotes, with it."""
    start, inside = 0, False
    for at, character in enumerate(text):
        inside ^= character == "'"
        if character == "," and not inside:
            yield text[start : at + 1]
            start = at + 1
    if text[start:]:
        yield text[start:]


def _broken(line: str, text: str) -> list[str]:
    """`text` after `line`, broken within its quotes, never beside one: that would be read as its end."""
    goes_on = line == _MARGIN
    starts = [_MARGIN.rstrip() + " " * blanks for blanks in range(1, 14)] if goes_on else [line]
    for start in starts if "'" in text[: _LAST - len(starts[-1])] else []:
        cards, head, rest = [], start, text
        while len(head) + len(rest) > _LAST:
            room = _LAST - len(head)
            cards.append(head + rest[:room])
            head, rest = _QUOTED_MARGIN, rest[room:]
        cards.append(head + rest)
        if all(card[-1] != "'" for card in cards[:-1]) and all(card[15] != "'" for card in cards[1:]):
            return cards
    raise ConfigError(f"{text[:40]}... fits on no card", fix="Make it shorter")
