"""Tar headers: what other tools read, byte for byte the same on every machine."""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlship_runtime.bundle.ustar import END, ChunkStream, MemberReader, header, members, padding, tar_size
from mlship_runtime.errors import InvalidBundle

LONG = "runtime/linux-amd64-cp311-gnu2.28/" + "/".join(["scikit_learn-1.7.2.dist-info"] * 4) + "/METADATA"
FILES = {"a.txt": b"hello", "empty": b"", "größe/ß": b"x" * 512, LONG: b"y" * 513, "z" * 100: b"!"}


def tar_of(files: dict[str, bytes]) -> bytes:
    parts = [header(path, len(data)) + data + padding(len(data)) for path, data in files.items()]
    return b"".join(parts) + END


def content(reader: MemberReader) -> bytes:
    return b"".join(iter(lambda: reader.read(100), b""))


def read(data: bytes) -> dict[str, bytes]:
    return {path: content(reader) for path, _, reader in members(io.BytesIO(data))}


def test_digest_of_a_fixed_tree() -> None:
    """A change here changes the digest of every bundle."""
    digest = hashlib.sha256(tar_of(FILES)).hexdigest()
    assert digest == "3add149a50eb7accb241088ded4f8cd2a1ea28614daa2aea23e55ae02e50d19b"


def test_reads_back() -> None:
    assert read(tar_of(FILES)) == FILES
    assert len(tar_of(FILES)) == tar_size(len(data) for data in FILES.values())
    assert read(END) == {}


def test_python_reads_it() -> None:
    with tarfile.open(fileobj=io.BytesIO(tar_of(FILES)), mode="r:", format=tarfile.USTAR_FORMAT) as archive:
        found = {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
        kinds = {(m.mode, m.uid, m.gid, m.mtime, m.uname, m.gname, m.type) for m in archive.getmembers()}
    assert found == FILES
    assert kinds == {(0o644, 0, 0, 0, "", "", tarfile.REGTYPE)}


def test_tar_reads_it(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(tar_of(FILES))
    listed = subprocess.run(
        ["tar", "--quoting-style=literal", "-tf", tmp_path / "x.tar"],
        capture_output=True,
        check=True,
    )
    assert listed.stdout.decode().splitlines() == list(FILES)
    assert listed.stderr == b""


@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,60}(/[a-z]{1,60}){0,2}", fullmatch=True), st.binary(max_size=1100)
    )
)
def test_any_files(files: dict[str, bytes]) -> None:
    assert read(tar_of(files)) == files


@given(st.lists(st.binary(max_size=9)), st.integers(1, 5))
def test_chunks_as_a_stream(chunks: list[bytes], size: int) -> None:
    stream = ChunkStream(chunks)
    assert b"".join(iter(lambda: stream.read(size), b"")) == b"".join(chunks)


def test_unread_files_are_passed_over() -> None:
    assert [path for path, _, _ in members(io.BytesIO(tar_of(FILES)))] == list(FILES)


def test_prefix_limits() -> None:
    assert read(tar_of({"p" * 99 + "/" + "n" * 100: b""}))
    with pytest.raises(InvalidBundle, match="does not fit a tar header"):
        header("p/" + "n" * 101, 0)
    with pytest.raises(InvalidBundle, match="does not fit a tar header"):
        header("p" * 156 + "/n", 0)


def test_eight_gibibytes_are_too_many() -> None:
    assert header("a", 8**11 - 1)
    with pytest.raises(InvalidBundle, match="less than 8 GiB"):
        header("a", 8**11)
