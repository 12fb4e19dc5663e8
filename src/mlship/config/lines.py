"""On which line of a TOML text each key stands; tomllib does not tell.

The text must already have been read by tomllib: this scanner trusts its syntax. Keys inside inline tables and
arrays are not listed; they stand on the line of the key that holds them.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping

KeyPath = tuple[str, ...]
_KEY_PART = re.compile(r"""\s*("(?:[^"\\]|\\.)*"|'[^']*'|[A-Za-z0-9_-]+)\s*""")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}' r"|'''.*?'{3,5}" r'|"(?:[^"\\\n]|\\.)*"' r"|'[^'\n]*'", re.DOTALL
)


def key_lines(text: str) -> dict[KeyPath, int]:
    """Key paths (tables included) of `text` with the number of their first line, counted from 1."""
    lines: dict[KeyPath, int] = {}
    table: KeyPath = ()
    at = 0
    while at < len(text):
        start = at
        if text[at].isspace():
            at += 1
        elif text[at] == "#":
            at = _line_end(text, at)
        elif text[at] == "[":
            table, at = _key(text, at + (2 if text.startswith("[[", at) else 1))
            _note(lines, (), table, _line(text, start))
            at = _line_end(text, at)
        else:
            key, at = _key(text, at)
            _note(lines, table, key, _line(text, start))
            at = _value_end(text, at + 1)
    return lines


def line_of(lines: Mapping[KeyPath, int], path: KeyPath) -> int:
    """The line of `path`, or of the nearest thing around it; 1 when nothing of it is there."""
    while path:
        if path in lines:
            return lines[path]
        path = path[:-1]
    return 1


def _note(lines: dict[KeyPath, int], table: KeyPath, key: KeyPath, line: int) -> None:
    for length in range(1, len(key) + 1):
        lines.setdefault(table + key[:length], line)


def _key(text: str, at: int) -> tuple[KeyPath, int]:
    parts: list[str] = []
    while match := _KEY_PART.match(text, at):
        parts.append(_plain(match[1]))
        at = match.end()
        if text[at : at + 1] != ".":
            break
        at += 1
    return tuple(parts), at


def _plain(part: str) -> str:
    if part[0] not in "\"'":
        return part
    value = tomllib.loads(f"key = {part}")["key"]
    return str(value)


def _value_end(text: str, at: int) -> int:
    depth = 0
    while at < len(text):
        char = text[at]
        if char in "\"'" and (match := _STRING.match(text, at)):
            at = match.end()
            continue
        if char == "#":
            at = _line_end(text, at)
            continue
        if char == "\n" and depth == 0:
            return at
        depth += (char in "[{") - (char in "]}")
        at += 1
    return at


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1
