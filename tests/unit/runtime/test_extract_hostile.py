"""Hostile tars: whatever comes, nothing is outside the staging folder and nothing under the final name."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlship_runtime.bundle.extract import extract_layer
from mlship_runtime.bundle.spec import FileEntry
from mlship_runtime.bundle.ustar import END, header, members, padding
from mlship_runtime.errors import InvalidBundle

FILES = {"model/a": b"a" * 700, "model/b": b"", "model/c": b"c" * 512}
ENTRIES = tuple(FileEntry(p, len(d), hashlib.sha256(d).hexdigest()) for p, d in FILES.items())


def packed(path: str, data: bytes = b"") -> bytes:
    return header(path, len(data)) + data + padding(len(data))


def raw(
    path: bytes = b"model/x", kind: bytes = b"0", link: bytes = b"", size: bytes = b"0" * 11, **more: bytes
) -> bytes:
    """A header with a right checksum and whatever fields."""
    block = bytearray(header("model/x", 0))
    block[0:100] = path.ljust(100, b"\0")
    block[124:136] = size.ljust(12, b"\0")
    block[156:157] = kind
    block[157:257] = link.ljust(100, b"\0")
    for place, value in more.items():
        start = int(place.removeprefix("at"))
        block[start : start + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def by_tarfile(form: int, *infos: tuple[str, dict[str, object], bytes]) -> bytes:
    """A tar as Python's own writer makes it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, fields, data in infos:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for key, value in fields.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


GOOD = b"".join(packed(path, data) for path, data in FILES.items())
LINKS = {"linkname": "/etc/passwd"}
SPARSE_0 = {"pax_headers": {"GNU.sparse.size": "512", "GNU.sparse.numblocks": "0"}}
SPARSE_1 = {"pax_headers": {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "/etc/x"}}
PAX, GNU, USTAR = tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT

# Each link one step up, and a file through all of them: lexical checks of the last name pass (oras-go).
CHAIN = (
    raw(b"model/s1", kind=b"2", link=b"..")
    + raw(b"model/s2", kind=b"2", link=b"s1/..")
    + raw(b"model/s3", kind=b"2", link=b"s2/..")
    + packed("model/s3/out", b"x")
)
# CVE-2025-4517: links that expand beyond PATH_MAX, where realpath gives up and says what it has.
_STEPS = "abcdefghijklmnop"
DEEP_LINKS = b"".join(
    (
        *(raw("/".join(_STEPS[: n + 1]).encode(), kind=b"2", link=b"d" * 99) for n in range(len(_STEPS))),
        raw("/".join((*_STEPS, "l")).encode(), kind=b"2", link=b"../" * 16),
        raw(b"escape", kind=b"2", link="/".join((*_STEPS, "l", "..", "..")).encode()),
        packed("escape/out", b"x"),
    )
)

CASES: dict[str, dict[str, bytes]] = {
    "climbs": {
        "dot dot": raw(b"../out") + END,
        "dot dot inside": raw(b"model/../../out") + END,
        "dot dot alone": raw(b"..") + END,
        "dot": raw(b"./model/a") + END,
        "absolute": raw(b"/tmp/out") + END,
        "two slashes": raw(b"//tmp/out") + END,
        "prefix climbs": raw(b"out", at345=b"..") + END,
        "prefix absolute": raw(b"passwd", at345=b"/etc") + END,
    },
    "name": {
        "folder's slash": raw(b"model/") + END,
        "empty name": raw(b"") + END,
        "newline": raw(b"model/a\nb") + END,
        "escape": raw(b"model/\x1b[2J") + END,
        "not UTF-8": raw(b"model/\xff") + END,
        "right to left": raw("model/\u202egpj.exe".encode()) + END,
        "decomposed": raw("model/e\u0301".encode()) + END,
        "after a zero": raw(b"model/a\0../../out") + END,
        "too deep": raw(b"/".join([b"d"] * 17)) + END,
        "too long": raw(b"n" * 100, at345=b"p" * 101) + END,
        "prefix split elsewhere": raw(b"b", at345=b"model") + END,
    },
    "other systems": {
        "backslash": raw(b"..\\out") + END,
        "drive": raw(b"C:\\out") + END,
        "drive with slash": raw(b"C:/out") + END,
        "share": raw(b"\\\\host\\share\\out") + END,
        "stream": raw(b"model/a:hidden") + END,
        "device name": raw(b"model/NUL") + END,
        "device name with an ending": raw(b"model/com1.onnx") + END,
        "ends in a dot": raw(b"model/a.") + END,
        "ends in a space": raw(b"model/a ") + END,
    },
    "one name twice": {
        "duplicate": packed("model/a", FILES["model/a"]) + GOOD + END,
        "case collision": GOOD + packed("model/C", b"c" * 512) + END,
        "compatibility collision": GOOD + packed("model/\uff43", b"c" * 512) + END,
        "file and folder": GOOD + packed("model/a/x") + END,
        "folder and file": GOOD + packed("model") + END,
    },
    "symbolic link": {
        "symbolic link": raw(kind=b"2", link=b"/etc/passwd") + END,
        "symbolic link upwards": raw(kind=b"2", link=b"../../..") + END,
        "link, then through it": raw(b"model", kind=b"2", link=b"/tmp") + packed("model/a", b"x") + END,
        "chain": CHAIN + END,
        "path longer than any": DEEP_LINKS + END,
        "loop": raw(b"model/l", kind=b"2", link=b"l") + END,
        "replaces a file": GOOD + raw(b"model/a", kind=b"2", link=b"/etc/passwd") + END,
        "GNU long link": by_tarfile(GNU, ("model/l", {"type": tarfile.SYMTYPE, "linkname": "x" * 150}, b"")),
    },
    "hard link": {
        "hard link": raw(kind=b"1", link=b"/etc/passwd") + END,
        "hard link upwards": raw(kind=b"1", link=b"../../out") + END,
        "hard link beside the working directory": raw(kind=b"1", link=b"pyproject.toml") + END,
        "hard link to a link": raw(b"model/l", kind=b"2", link=b"/etc")
        + raw(kind=b"1", link=b"model/l")
        + END,
        "hard link with content": raw(kind=b"1", link=b"model/a", size=b"00000000001") + bytes(512) + END,
        "link target on a file": raw(b"model/a", link=b"/etc/passwd") + END,
    },
    "device": {
        "character device": raw(kind=b"3", at329=b"0000001\0", at337=b"0000003\0") + END,
        "block device": raw(kind=b"4") + END,
        "pipe": raw(kind=b"6") + END,
    },
    "kind": {
        "folder": raw(b"model/dir", kind=b"5") + END,
        "contiguous": raw(kind=b"7") + END,
        "old regular file": raw(kind=b"\0") + END,
        "unknown kind": raw(kind=b"Z") + END,
        "GNU dump folder": raw(kind=b"D") + END,
        "GNU volume": raw(kind=b"V") + END,
        "GNU continued": raw(kind=b"M") + END,
    },
    "GNU": {
        "long name that climbs": raw(b"././@LongLink", kind=b"L", size=b"00000000007")
        + b"../out\0".ljust(512, b"\0")
        + GOOD
        + END,
        "long name of gigabytes": raw(b"././@LongLink", kind=b"L", size=b"77777777777") + END,
        "long name without a file": raw(b"././@LongLink", kind=b"L") + END,
        "multiple long names": raw(b"././@LongLink", kind=b"L") * 3 + GOOD + END,
        "GNU long name": by_tarfile(GNU, ("model/" + "n" * 150, {}, b"x")),
    },
    "sparse": {
        "GNU sparse": raw(kind=b"S") + END,
        "PAX sparse 0": by_tarfile(PAX, ("model/a", SPARSE_0, b"x")),
        "PAX sparse 1": by_tarfile(PAX, ("model/a", SPARSE_1, b"x")),
    },
    "PAX": {
        "PAX path": by_tarfile(PAX, ("model/a", {"pax_headers": {"path": "/etc/out"}}, b"x")),
        "PAX size": by_tarfile(PAX, ("model/a", {"pax_headers": {"size": "99999999"}}, b"x")),
        "PAX link": by_tarfile(PAX, ("model/a", {"pax_headers": {"linkpath": "/etc"}}, b"x")),
        "PAX global": raw(kind=b"g") + END,
        "Solaris PAX": raw(kind=b"X") + END,
    },
    "rights": {
        "owner": by_tarfile(USTAR, ("model/a", {"uid": 1000}, FILES["model/a"])),
        "time": by_tarfile(USTAR, ("model/a", {"mtime": 1}, FILES["model/a"])),
        "executable": by_tarfile(USTAR, ("model/a", {"mode": 0o755}, FILES["model/a"])),
        "set-uid": by_tarfile(USTAR, ("model/a", {"mode": 0o4755}, FILES["model/a"])),
        "user's name": by_tarfile(USTAR, ("model/a", {"uname": "root"}, FILES["model/a"])),
    },
    "number": {
        "size in base 256": raw(size=b"\x80" + bytes(10) + b"\1") + b"x".ljust(512, b"\0") + END,
        "size negative": raw(size=b"-0000000001") + END,
        "size with spaces": raw(size=b"          1") + b"x".ljust(512, b"\0") + END,
        "size huge": raw(size=b"7" * 11) + END,
        "size too large": header("model/a", 701) + FILES["model/a"] + padding(700) + GOOD[1536:] + END,
        "size too small": header("model/a", 699) + FILES["model/a"] + padding(700) + GOOD[1536:] + END,
        "checksum": bytes([*GOOD[:148], *b"000000\0 ", *GOOD[156:]]) + END,
    },
    "form": {
        "tarfile's blocks": by_tarfile(USTAR, *((p, {"mode": 0o644}, d) for p, d in FILES.items())),
        "old tar without magic": raw(at257=bytes(8)) + END,
        "GNU magic": raw(at257=b"ustar  \0") + END,
        "padding not zero": GOOD[:1235] + b"!" + GOOD[1236:] + END,
        "header's padding not zero": raw(b"model/a", at500=b"!") + END,
        "zip": b"PK\x03\x04" + GOOD + END,
        "nested tar": packed("model/a", GOOD + END) + END,
        "cpio": b"070701" + GOOD + END,
        "gzip": b"\x1f\x8b\x08" + GOOD + END,
        "text": b"<html>404</html>" * 100,
        "nothing": b"",
        "empty tar": END,
    },
    "index": {
        "one more": GOOD + packed("model/d") + END,
        "one fewer": GOOD[: 1536 + 512] + END,
        "other order": GOOD[1536:] + GOOD[:1536] + END,
        "other content": GOOD.replace(b"c" * 512, b"d" * 512) + END,
    },
    "end": {
        "one empty block": GOOD + END[:512],
        "no end": GOOD,
        "empty block, then more": GOOD[:1536] + bytes(512) + GOOD[1536:] + END,
        "bytes after the end": GOOD + END + b"\0",
        "blocks after the end": GOOD + END + bytes(9216),
        "second tar after the end": GOOD + END + GOOD + END,
    },
}


def refused(tmp_path: Path, data: bytes, digest: str | None = None) -> InvalidBundle:
    """Extract `data` under its own digest; the fault, after looking at what it left: files stand where an
    escape would write, above the staging folder and beside it."""
    base = tmp_path / "above" / "stage"
    if not base.exists():
        base.mkdir(parents=True)
        for place in ("out", "a", "above/out", "above/x"):
            (tmp_path / place).write_bytes(b"sentinel")
    before = state(tmp_path)
    own = "sha256:" + hashlib.sha256(data).hexdigest()
    with pytest.raises(InvalidBundle) as caught:
        extract_layer(io.BytesIO(data), str(base / "layer"), ENTRIES, digest or own)
    assert state(tmp_path) == before
    assert "\n" not in str(caught.value)
    return caught.value


def state(folder: Path) -> dict[str, object]:
    found = {str(path): path.lstat() for path in folder.rglob("*")}
    return {
        path: (seen.st_mode, seen.st_nlink, seen.st_mtime_ns)
        for path, seen in found.items()
        if not path.endswith("/stage")
    }


def snapshot(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*"))


NAMED = {f"{of}: {case}": data for of, cases in CASES.items() for case, data in cases.items()}


@pytest.mark.parametrize("case", NAMED)
def test_hostile(tmp_path: Path, case: str) -> None:
    refused(tmp_path, NAMED[case])


def test_no_case_is_another_one() -> None:
    assert len(set(NAMED.values())) == len(NAMED)


def test_cut_short_at_every_block_and_beside_it(tmp_path: Path) -> None:
    whole = GOOD + END
    cuts = {place + offset for place in range(0, len(whole), 512) for offset in (-1, 0, 1)}
    for cut in sorted(cut for cut in cuts if 0 <= cut < len(whole)):
        refused(tmp_path, whole[:cut])


def test_a_refused_layer_leaves_nothing_open(tmp_path: Path) -> None:
    before = sorted(Path("/dev/fd").iterdir())
    for cut in range(512, len(GOOD), 512):
        refused(tmp_path, GOOD[:cut])
    assert sorted(Path("/dev/fd").iterdir()) == before


def test_right_files_under_another_digest(tmp_path: Path) -> None:
    fault = refused(tmp_path, GOOD + END, "sha256:" + "0" * 64)
    assert "damaged or exchanged" in fault.cause


@given(st.integers(0, len(GOOD + END) * 8 - 1))
def test_one_flipped_bit(tmp_path_factory: pytest.TempPathFactory, bit: int) -> None:
    data = bytearray(GOOD + END)
    data[bit // 8] ^= 1 << bit % 8
    refused(tmp_path_factory.mktemp("bit"), bytes(data))


@pytest.mark.parametrize("byte", range(0, 512, 8))
def test_every_bit_of_a_header(byte: int) -> None:
    for bit in range(byte * 8, (byte + 8) * 8):
        data = bytearray(GOOD + END)
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises(InvalidBundle):
            next(members(io.BytesIO(data)))


@pytest.mark.parametrize(
    "entries",
    [
        (FileEntry("../out", 0, "0" * 64),),
        (FileEntry("/out", 0, "0" * 64),),
        (FileEntry("a", 0, "0" * 64), FileEntry("A", 0, "0" * 64)),
    ],
)
def test_hostile_index(tmp_path: Path, entries: tuple[FileEntry, ...]) -> None:
    with pytest.raises(InvalidBundle):
        extract_layer(io.BytesIO(END), str(tmp_path / "layer"), entries, "sha256:" + "0" * 64)
    assert snapshot(tmp_path) == []


class Slow:
    """A stream that gives one byte at a time, and calls `hook` once half of it is read."""

    def __init__(self, data: bytes, hook: Callable[[], None] = lambda: None) -> None:
        self.data, self.place, self.hook = data, 0, hook

    def read(self, size: int) -> bytes:
        if self.place == len(self.data) // 2:
            self.hook()
        self.place += 1
        return self.data[self.place - 1 : self.place]


def good(into: Path, stream: object = None) -> None:
    data = GOOD + END
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    extract_layer(stream or io.BytesIO(data), str(into), ENTRIES, digest)  # type: ignore[arg-type]


def test_good(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        good(tmp_path / "layer", Slow(GOOD + END))
    finally:
        os.umask(before)
    assert snapshot(tmp_path) == [
        str(tmp_path / n) for n in ("layer", "layer/model", *(f"layer/{p}" for p in FILES))
    ]
    for path, data in FILES.items():
        file = tmp_path / "layer" / path
        assert file.read_bytes() == data
        assert file.stat().st_mode & 0o7777 == 0o444
        assert file.parent.stat().st_mode & 0o7777 == 0o755
    assert (tmp_path / "layer").stat().st_mode & 0o7777 == 0o755


def test_again_changes_nothing(tmp_path: Path) -> None:
    good(tmp_path / "layer")
    inode = (tmp_path / "layer" / "model" / "a").stat().st_ino
    good(tmp_path / "layer")
    assert (tmp_path / "layer" / "model" / "a").stat().st_ino == inode
    assert len(list(tmp_path.iterdir())) == 1


class Endless:
    """A stream that never ends: `head`, then `body` again and again; it counts what was taken."""

    def __init__(self, head: bytes, body: bytes) -> None:
        self.head, self.body, self.taken = head, body, 0

    def read(self, size: int) -> bytes:
        assert self.taken < 64 << 20, "more was read than the index has"
        data, self.head = (self.head[:size], self.head[size:]) if self.head else (self.body[:size], self.head)
        self.taken += len(data)
        return data


ENDLESS = {
    "files": Endless(b"", packed("model/a", b"a" * 700)),
    "empty files": Endless(b"", packed("model/a")),
    "zeros": Endless(b"", bytes(512)),
    "zeros after the files": Endless(GOOD, bytes(512)),
    "a file without end": Endless(header("model/a", 8**11 - 1), b"a" * 512),
    "files after those of the index": Endless(GOOD, packed("model/d")),
}


@pytest.mark.parametrize("stream", ENDLESS)
def test_a_stream_without_end_is_read_no_further_than_the_index(tmp_path: Path, stream: str) -> None:
    with pytest.raises(InvalidBundle):
        good(tmp_path / "layer", ENDLESS[stream])
    assert snapshot(tmp_path) == []
    assert ENDLESS[stream].taken <= len(GOOD + END) + (1 << 20)


def test_a_link_put_into_the_staging_folder_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()

    def swap() -> None:
        (part,) = (tmp_path / "stage").glob("layer.part-*")
        for name in ("a", "b", "c"):
            planted = part / "model" / name
            if not planted.exists():
                planted.symlink_to(outside / name)

    (tmp_path / "stage").mkdir()
    with pytest.raises(Exception, match="cannot be written"):
        good(tmp_path / "stage" / "layer", Slow(GOOD + END, swap))
    assert list(outside.iterdir()) == []
    assert list((tmp_path / "stage").iterdir()) == []
