"""Where keys stand in a TOML text."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from mlship.config.lines import key_lines, line_of

TEXT = '''\
# a comment with [brackets] and key = value
title = "x" # [not.a.table]

[a.b]
plain = 1
"quoted key" = "with ] and # and ="
'literal' = 2
dotted.inner . deep = 3
list = [
  "one", # ] no end
  [2, 3],
  "]",
]
text = """
[not.a.table]
key = "no"
\\"""
still = "text"
"""
raw = \'\'\'
key = 1
\'\'\'
after = true
inline = { one = 1, two = "}" }

[[many]]
first = 1
[[many]]
second = 2
["odd . name".x]
y = 1
'''

CASES: list[tuple[tuple[str, ...], int]] = [
    (("title",), 2),
    (("a",), 4),
    (("a", "b"), 4),
    (("a", "b", "plain"), 5),
    (("a", "b", "quoted key"), 6),
    (("a", "b", "literal"), 7),
    (("a", "b", "dotted"), 8),
    (("a", "b", "dotted", "inner", "deep"), 8),
    (("a", "b", "list"), 9),
    (("a", "b", "text"), 14),
    (("a", "b", "raw"), 20),
    (("a", "b", "after"), 23),
    (("a", "b", "inline"), 24),
    (("many", "first"), 27),
    (("many", "second"), 29),
    (("odd . name", "x", "y"), 31),
]


@pytest.mark.parametrize(("path", "line"), CASES, ids=lambda case: str(case))
def test_line_of_each_key(path: tuple[str, ...], line: int) -> None:
    assert key_lines(TEXT)[path] == line


def test_nothing_inside_values_is_taken_for_a_key() -> None:
    known = {path for path, _ in CASES} | {("a", "b", "dotted", "inner"), ("many",), ("odd . name",)}
    assert set(key_lines(TEXT)) == known | {("odd . name", "x")}


def test_every_key_of_the_document_is_found() -> None:
    lines = key_lines(TEXT)
    for path in _paths(tomllib.loads(TEXT)):
        assert line_of(lines, path) > 1


def test_the_nearest_thing_around_a_key_stands_in_for_it() -> None:
    lines = key_lines(TEXT)
    assert line_of(lines, ("a", "b", "inline", "two")) == 24
    assert line_of(lines, ("a", "b", "list", "[1]")) == 9
    assert line_of(lines, ("nowhere",)) == 1


def _paths(value: Any, before: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(value, dict):
        return [before]
    return [path for key, inner in value.items() for path in _paths(inner, (*before, key))]
