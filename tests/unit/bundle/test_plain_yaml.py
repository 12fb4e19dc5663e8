"""YAML that programs write is read; YAML that could do more is refused."""

from __future__ import annotations

import time

import pytest

from mlship.bundle.models import plain_yaml
from mlship.bundle.models.plain_yaml import NotPlain, read

WRITTEN = """\
# by a program
flavors:
  sklearn:
    code: null
    data: model.skops
"""


def test_mappings_lists_and_nothing() -> None:
    assert read(WRITTEN) == {"flavors": {"sklearn": {"code": None, "data": "model.skops"}}}
    assert read("a:\n- b\n- - c\n  - d\n- e: f\n  g: ~\n-\nh: []\ni: {}\nj:\n") == {
        "a": ["b", ["c", "d"], {"e": "f", "g": None}, None], "h": [], "i": {}, "j": None,
    }  # fmt: skip
    assert read("- a # said\n- http://b/c\n- 'd # e'\n") == ["a", "http://b/c", "d # e"]
    assert read("\n# nothing\n") is None
    assert read("a: 1\nb: true\nc: 2.50\n") == {"a": "1", "b": "true", "c": "2.50"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('a: \'[{"type":\n    "double"}]\'', '[{"type": "double"}]'),
        ("a: 'it''s\n\n  two lines'", "it's\ntwo lines"),
        ("a: ''", ""),
        ('a: "tab\\t, \\u00e9, \\x41, \\\\ and \\""', 'tab\t, é, A, \\ and "'),
        ('a: "one \\\n  \\ word"', "one  word"),
        ("a: plain text\n  that goes on\nb: c", "plain text that goes on"),
        ("a: 'x'  # said", "x"),
    ],
)
def test_texts_over_several_lines(text: str, value: str) -> None:
    assert read(text)["a"] == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: |\n  one\n\n    two # no comment\nb: c", "one\n\n  two # no comment\n"),
        ("a: |-\n  one\n  - two: x\n", "one\n- two: x"),
        ("a: >\n  one\n  two\n\n  three\n", "one two\nthree\n"),
        ("a: >- # said\n    one\n    two\nb: c", "one two"),
        ("a: |\nb: c", ""),
        ("a: [b, 'c, d', \"e f\", g h]  # said", ["b", "c, d", "e f", "g h"]),
        ("a: ['it''s', ~, 1.5]", ["it's", None, "1.5"]),
        ("a: [b,]", ["b"]),
    ],
)
def test_what_people_write(text: str, value: object) -> None:
    found = read(text)
    assert found["a"] == value
    assert found.get("b", "c") == "c"


@pytest.mark.parametrize(
    "text",
    [
        "a: !!python/object/apply:os.system ['true']", "a: &x b", "a: *x", "a: {b: c}", "a: [[b]]", "a: [b",
        "a: [{b: c}]", "a: [&x b]", "a: [b, *x]", "a: [!!python/name:os.system ]", "a: [b: c]",
        "a: [b,\n  c]", "a: [b c:]", "a: [-1]",
        "a: |2\n  b", "a: |x\n  b", "--- a\n", "%YAML 1.1\n", "? a\n: b", "a: b: c", "a: 'open", 'a: "open',
        "a: 'b' c", "a: 1\na: 2", "a: 1\n  b: 2", "  a: 1\nb: 2", "\ta: 1", "a:\n\t- b", "just text",
        'a: "\\q"', 'a: "\\UFFFFFFFF"', "a: `b", "a: @b",
    ],
)  # fmt: skip
def test_what_is_not_plain_is_refused(text: str) -> None:
    with pytest.raises(NotPlain, match=r"^line \d+: "):
        read(text)


def test_depth_and_size_have_limits() -> None:
    deep = "\n".join(f"{' ' * at}a:" for at in range(plain_yaml.MAX_DEPTH + 2))
    with pytest.raises(NotPlain, match="in each other"):
        read(deep)
    with pytest.raises(NotPlain, match="MiB"):
        read("a" * (plain_yaml.MAX_SIZE + 1))


@pytest.mark.parametrize(
    "text", ["a: [b" + " " * 900_000 + "x]", "a: [" + "b," * 400_000 + "]", "a: |\n" + " b\n" * 300_000]
)
def test_long_ones_take_no_longer_than_they_must(text: str) -> None:
    began = time.process_time()
    assert read(text)["a"]
    assert time.process_time() - began < 5
