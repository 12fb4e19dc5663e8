"""Wheels are zips of strangers: what does not fit a bundle, or lies about itself, is one clean error."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlship.bundle.packages import trim
from mlship.bundle.packages.platforms import wanted
from mlship.bundle.packages.resolve import Wheel
from mlship.bundle.packages.runtime_layers import platform_layers
from mlship.bundle.packages.unwheel import wheel_files
from mlship.bundle.packages.wheels import wheel_path
from mlship.digest import sha256
from mlship.errors import BuildError


def zipped(*files: tuple[str, bytes], mode: int = 0, kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", kind) as archive:
        for name, data in files:
            entry = zipfile.ZipInfo(name)
            entry.external_attr, entry.compress_type = mode << 16, kind
            archive.writestr(entry, data)
    return out.getvalue()


GOOD = zipped(("a/x.py", b"x = 1\n" * 50), ("a/y.py", b"yy"))
FIRST = GOOD.index(b"PK\x01\x02")  # of the central directory
SECOND = GOOD.rindex(b"PK\x01\x02")
CLOSING = GOOD.index(b"PK\x05\x06")


def central(at: int, form: str, value: int, entry: int = FIRST) -> bytes:
    """GOOD with a field of its central directory changed."""
    data = bytearray(GOOD)
    struct.pack_into(form, data, entry + at, value)
    return bytes(data)


def local(at: int, form: str, value: int) -> bytes:
    data = bytearray(GOOD)
    struct.pack_into(form, data, at, value)
    return bytes(data)


CASES: dict[str, dict[str, tuple[bytes, str]]] = {
    "climbs": {
        "dot dot": (zipped(("../a.py", b"")), "cannot be packed"),
        "dot dot inside": (zipped(("a/../../b.py", b"")), "cannot be packed"),
        "absolute": (zipped(("/a.py", b"")), "cannot be packed"),
        "out of its data folder": (zipped(("a-1.data/purelib/../../b.py", b"")), "cannot be packed"),
        "backslash": (zipped(("a\\..\\b.py", b"")), "cannot be packed"),
        "drive": (zipped(("C:/a.py", b"")), "cannot be packed"),
        "device name": (zipped(("a/nul.py", b"")), "device on Windows"),
    },
    "kind": {
        "symbolic link": (zipped(("a/l", b"/etc/passwd"), mode=stat.S_IFLNK | 0o777), "not a regular file"),
        "pipe": (zipped(("a/l", b""), mode=stat.S_IFIFO | 0o644), "not a regular file"),
        "device": (zipped(("a/l", b""), mode=stat.S_IFCHR | 0o644), "not a regular file"),
        "socket": (zipped(("a/l", b""), mode=stat.S_IFSOCK | 0o644), "not a regular file"),
        "code at every start": (zipped(("a.pth", b"import os")), "runs at every start"),
        "encrypted": (central(8, "<H", 1), "is encrypted"),
    },
    "one name twice": {
        "case": (zipped(("a/x.py", b""), ("A/x.py", b"")), "one name on some file systems"),
        "compatibility": (zipped(("a/x.py", b""), ("a/\uff58.py", b"")), "one name on some file systems"),
        "file and folder": (zipped(("a", b""), ("a/x.py", b"")), "both a file and a folder"),
        "from two folders": (zipped(("a/x.py", b""), ("b-1.data/platlib/a/x.py", b"")), "stands twice"),
    },
    "mismatch": {
        "another name within": (GOOD.replace(b"a/x.py", b"a/z.py", 1), "cannot be read"),
        "another checksum": (central(16, "<I", 7), "cannot be read"),
        "larger than it is": (central(24, "<I", 301), "cannot be read"),
        "smaller than it is": (central(24, "<I", 7), "cannot be read"),
        "the place of another": (central(42, "<I", 0, SECOND), "cannot be read"),
        "a place beyond the file": (central(42, "<I", 1 << 30), "cannot be read"),
        "another compression": (central(10, "<H", 99), "cannot be read"),
        "a newer form": (central(6, "<H", 990), "cannot be read"),
        "no compression, it says": (central(10, "<H", 0), "cannot be read"),
    },
    "damage": {
        "nothing": (b"", "cannot be read"),
        "no zip": (b"<html>404</html>" * 50, "cannot be read"),
        "no directory": (GOOD[:FIRST], "cannot be read"),
        "no closing": (GOOD[:CLOSING], "cannot be read"),
        "broken stream": (local(36, "<H", 0xFFFF), "cannot be read"),
        "a thousand entries more": (local(CLOSING + 12, "<I", 60_000), "cannot be read"),
    },
    "bomb": {
        "ratio": (zipped(("a/zeros", bytes(4 << 20))), "200 times its size"),
        "many times the ratio": (zipped(*((f"a/{n}", bytes(64 << 10)) for n in range(40))), "times its size"),
        "four gigabytes, it says": (central(24, "<I", 0xFFFFFFFE), "unpacks to more than"),
        "too many files": (
            zipped(*((f"a/{n}", b"") for n in range(20_001)), kind=zipfile.ZIP_STORED),
            "more than 20000 files",
        ),
        "too deep": (zipped(("/".join("d" * 40) + "/x.py", b"")), "levels deep"),
    },
}
NAMED = {f"{of}: {case}": found for of, cases in CASES.items() for case, found in cases.items()}


@pytest.mark.parametrize("case", NAMED)
def test_refused(tmp_path: Path, case: str) -> None:
    data, why = NAMED[case]
    path = tmp_path / "a.whl"
    path.write_bytes(data)
    with pytest.raises(BuildError) as caught:
        list(wheel_files(path, "a.whl"))
    said = str(caught.value)
    assert "a.whl" in said
    assert any(part in said for part in why.split("|")), said
    assert list(tmp_path.iterdir()) == [path]


def test_overlapping_entries_cost_no_more_than_their_sum(tmp_path: Path) -> None:
    """Entries that share their bytes: refused by the reader, or bounded by the ratio of the whole."""
    big = zipped(("a/0", bytes(1 << 20)))
    start = big.index(b"PK\x01\x02")
    entry, closing = big[start : big.index(b"PK\x05\x06")], bytearray(big[big.index(b"PK\x05\x06") :])
    copies = b"".join(entry.replace(b"a/0", b"a/%d" % n) for n in range(10))
    struct.pack_into("<HHI", closing, 8, 10, 10, len(copies))
    path = tmp_path / "a.whl"
    path.write_bytes(big[:start] + copies + bytes(closing))
    with pytest.raises(BuildError):
        list(wheel_files(path, "a.whl"))


@given(st.integers(0, len(GOOD) * 8 - 1), st.integers(0, len(GOOD)))
def test_any_bit_and_any_cut_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, bit: int, end: int
) -> None:
    """Never another error. A flipped bit may pass: it is the wheel's sha256 that finds it."""
    path = tmp_path_factory.mktemp("wheel") / "a.whl"
    data = bytearray(GOOD)
    data[bit // 8] ^= 1 << bit % 8
    for content in (bytes(data), GOOD[:end]):
        path.write_bytes(content)
        with suppress(BuildError):
            assert len(list(wheel_files(path, "a.whl"))) <= 2


def test_a_wheel_that_was_exchanged_in_the_cache_is_not_packed(own_cache: Path) -> None:
    wheel = Wheel("a", "1.0", "a-1.0-py3-none-any.whl", sha256(GOOD)[7:])
    path = wheel_path(wheel)
    path.parent.mkdir(parents=True)
    path.write_bytes(zipped(("a/x.py", b"import os; os.abort()")))
    with pytest.raises(BuildError, match=r"a-1\.0-py3-none-any\.whl was changed in the cache"):
        platform_layers(wanted("linux/amd64", "3.11"), [wheel], trim.VERSION)
    assert not path.exists()
