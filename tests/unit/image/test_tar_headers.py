"""The tars of others: what their entries are, and that no length which one claims is believed."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable

import pytest

from mlship.errors import RegistryError
from mlship.image.tar_headers import Entry, entries, plain_path
from mlship_runtime.bundle.ustar import ChunkStream

LONG = "a" * 120 + "/" + "b" * 150 + "/ünï"


def read(data: bytes) -> list[tuple[Entry, bytes]]:
    found = entries(ChunkStream([data[at : at + 700] for at in range(0, len(data), 700)]), "the layer")
    return [(entry, b"".join(iter(lambda: content.read(100), b""))) for entry, content in found]  # noqa: B023


def written(*members: tarfile.TarInfo, form: int = tarfile.PAX_FORMAT, data: bytes = b"abc") -> bytes:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w", format=form) as tar:
        for member in members:
            member.size = len(data) if member.isreg() else 0
            tar.addfile(member, io.BytesIO(data))
    return whole.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname, found.mode = kind, target, 0o755
    return found


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_every_kind_and_long_names(form: int) -> None:
    data = written(
        member("./usr/bin/python3.11"),
        member(LONG),
        member("lib", tarfile.SYMTYPE, LONG),
        member("hard", tarfile.LNKTYPE, "usr/bin/python3.11"),
        member("dev/null", tarfile.CHRTYPE),
        member("tmp/", tarfile.DIRTYPE),
        form=form,
    )
    found = read(data)
    assert [(x.path, x.kind, x.target) for x, _ in found] == [
        ("usr/bin/python3.11", "file", ""),
        (LONG, "file", ""),
        ("lib", "link", LONG),
        ("hard", "hard link", "usr/bin/python3.11"),
        ("dev/null", "other", ""),
        ("tmp", "folder", ""),
    ]
    assert [content for _, content in found] == [b"abc", b"abc", b"", b"", b"", b""]
    assert found[0][0].mode == 0o755


def test_a_ustar_prefix() -> None:
    ((entry, _),) = read(written(member("p" * 90 + "/" + "n" * 90), form=tarfile.USTAR_FORMAT))
    assert entry.path == "p" * 90 + "/" + "n" * 90


def test_a_size_in_binary_is_read() -> None:
    data = bytearray(written(member("a"), form=tarfile.GNU_FORMAT))
    data[124:136] = b"\x80" + (3).to_bytes(11, "big")
    assert read(summed(data))[0][0].size == 3


@pytest.mark.parametrize(
    ("path", "plain"),
    [("./a/b/", "a/b"), ("/etc", "etc"), ("../../x", "x"), ("a/../b", "b"), ("a//./b", "a/b"), (".", "")],
)
def test_paths_are_made_plain(path: str, plain: str) -> None:
    assert plain_path(path) == plain


def summed(data: bytearray, at: int = 0) -> bytes:
    """With the right check sum in the header at `at`."""
    data[at + 148 : at + 156] = b" " * 8
    data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + 512])
    return bytes(data)


def claims(size: int, kind: bytes = b"0") -> bytes:
    data = bytearray(written(member("a")))
    data[124:136] = b"\x80" + size.to_bytes(11, "big")
    data[156:157] = kind
    return summed(data)


HOSTILE: dict[str, Callable[[], bytes]] = {
    "a wrong check sum": lambda: b"X" + written(member("a"))[1:],
    "cut in a header": lambda: written(member("a"))[:300],
    "cut in a file": lambda: written(member("a"), data=b"x" * 5000)[:3000],
    "a file of many exabytes": lambda: claims(1 << 62),
    "a file longer than the tar": lambda: claims(1 << 30),
    "a record of many exabytes": lambda: claims(1 << 62, b"x"),
    "a name of 2 MiB": lambda: claims(2 << 20, b"L"),
    "a size that is none": lambda: no_octal(),
    "a PAX record that lies": lambda: pax(b"999 path=x\n"),
    "a PAX record of length 0": lambda: pax(b"0 path=x\n"),
    "a PAX record without a key": lambda: pax(b"7 abcd\n"),
    "a PAX size that is none": lambda: pax(b"12 size=-10\n"),
    "no tar at all": lambda: b"PK\3\4" * 200,
}  # fmt: skip


def no_octal() -> bytes:
    data = bytearray(written(member("a")))
    data[124:136] = b"99999999999\0"
    return summed(data)


def pax(record: bytes) -> bytes:
    data = bytearray(claims(len(record), b"x")[:512])
    return bytes(data) + record.ljust(512, b"\0") + written(member("a"))


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_tars_are_refused(name: str) -> None:
    with pytest.raises(RegistryError, match=r"the layer is no sound tar: "):
        read(HOSTILE[name]())


def test_a_link_has_no_content_whatever_it_claims() -> None:
    data = bytearray(written(member("a", tarfile.LNKTYPE, "b"), member("c")))
    data[124:136] = b"00000010000\0"
    assert [entry.path for entry, _ in read(summed(data))] == ["a", "c"]
