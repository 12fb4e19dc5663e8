"""Which paths a layer may hold."""

from __future__ import annotations

import pytest

from mlship_runtime.bundle.paths import MAX_ENTRIES, PathSet, check_path
from mlship_runtime.errors import InvalidBundle

GOOD = [
    "a",
    "model/model.onnx",
    "runtime/linux-amd64-cp311-gnu2.28/numpy-2.4.6.dist-info/METADATA",
    "größe/ß.py",
    ".hidden/..x",
    "a b/c",
    "console/auxiliary/com10.py",
    "x" * 200,
    "/".join("d" * 16),
]
BAD = [
    ("", "part ''"),
    ("/etc/passwd", "absolute"),
    ("..", "part '..'"),
    ("a/../b", "part '..'"),
    ("a/./b", "part '.'"),
    ("a//b", "part ''"),
    ("a/", "part ''"),
    ("a\\b", "backslash"),
    ("C:/x", "colon"),
    ("file:stream", "colon"),
    ("a\nb", "control"),
    ("a\0b", "control"),
    ("a\x7fb", "control"),
    ("a\x85b", "control"),
    ("a\u202eb", "control"),
    ("a\u200bb", "control"),
    ("a\udc80b", "control"),
    ("e\u0301", "form C"),
    ("a./b", "dot or a space"),
    ("a /b", "dot or a space"),
    (" a", "dot or a space"),
    ("a/con", "device on Windows"),
    ("NUL.txt", "device on Windows"),
    ("aux .py/x", "device on Windows"),
    ("lpt1/x", "device on Windows"),
    ("x" * 201, "200 bytes"),
    ("é" * 101, "200 bytes"),
    ("/".join("d" * 17), "16 levels"),
]


@pytest.mark.parametrize("path", GOOD)
def test_allowed(path: str) -> None:
    assert check_path(path) == path


@pytest.mark.parametrize(("path", "why"), BAD)
def test_refused(path: str, why: str) -> None:
    with pytest.raises(InvalidBundle) as caught:
        check_path(path)
    assert why in caught.value.cause
    assert str(caught.value).isascii()


@pytest.mark.parametrize(
    "pair",
    [
        ("a", "a"),
        ("a", "A"),
        ("dir/x", "DIR/y"),
        ("a", "a/b"),
        ("a/b", "a"),
        ("ﬁle", "file"),
        ("straße", "STRASSE"),
        ("K", "\u212a"),  # the Kelvin sign
        ("x/a/b", "x/A"),
    ],
)
def test_clashing(pair: tuple[str, str]) -> None:
    paths = PathSet()
    paths.add(pair[0])
    with pytest.raises(InvalidBundle):
        paths.add(pair[1])


def test_neighbours_do_not_clash() -> None:
    paths = PathSet()
    for path in ("a/b", "a/c", "a.b", "a-b/x", "ab", "a/d/e"):
        paths.add(path)
    assert len(paths) == 6


def test_too_many() -> None:
    paths = PathSet()
    for number in range(MAX_ENTRIES):
        paths.add(str(number))
    with pytest.raises(InvalidBundle, match="more than 20000 files"):
        paths.add("one-more")
