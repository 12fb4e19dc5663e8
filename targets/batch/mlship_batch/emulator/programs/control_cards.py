"""The language of IDCAMS: commands with parameters in brackets, going on where a line ends with - or +."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_TOKEN = re.compile(r"'(?:[^']|'')*'|[^\s(),']+|[()]")
_WIDTH = 72


class BadCommand(Exception):
    """What IDCAMS cannot read."""


@dataclass(frozen=True)
class Part:
    """A word, and what stands in brackets behind it (None: nothing). Brackets alone have an empty word."""

    word: str
    inner: Parts | None = None

    def __str__(self) -> str:
        return self.word + (f"({' '.join(map(str, self.inner.all))})" if self.inner is not None else "")


@dataclass(frozen=True)
class Parts:
    """The parameters of a command, or what stands in one pair of brackets."""

    all: tuple[Part, ...]

    def find(self, *words: str) -> Part | None:
        return next((part for part in self.all if part.word.upper() in words), None)

    def has(self, *words: str) -> bool:
        return self.find(*words) is not None

    def value(self, *words: str) -> str | None:
        """The first word in brackets behind one of `words`."""
        found = self.find(*words)
        return str(found.inner.all[0]).upper() if found and found.inner and found.inner.all else None


def statements(lines: Iterable[str]) -> list[str]:
    """The commands as text, without comments, those that go on joined."""
    whole, text = [], ""
    for line in _COMMENT.sub(" ", "\n".join(line[:_WIDTH] for line in lines)).splitlines():
        part = line.strip()
        text = f"{text} {part.rstrip('-+')}".strip()
        if text and not part.endswith(("-", "+")):
            whole.append(text)
            text = ""
    return [*whole, text] if text else whole


def read(text: str) -> tuple[str, Parts]:
    """The verb and its parameters. Raises BadCommand."""
    tokens = _TOKEN.findall(text)
    parts, at = _read(tokens, 1)
    if at != len(tokens):
        raise BadCommand(f"IDC3203I UNBALANCED PARENTHESIS IN {tokens[0]}")
    return tokens[0].upper(), parts


def _read(tokens: Sequence[str], at: int) -> tuple[Parts, int]:
    found: list[Part] = []
    while at < len(tokens) and tokens[at] != ")":
        word = "" if tokens[at] == "(" else tokens[at].strip("'")
        at += 0 if tokens[at] == "(" else 1
        inner = None
        if at < len(tokens) and tokens[at] == "(":
            inner, at = _read(tokens, at + 1)
            if at >= len(tokens):
                raise BadCommand("IDC3203I UNBALANCED PARENTHESIS")
            at += 1
        found.append(Part(word, inner))
    return Parts(tuple(found)), at
