"""Chunks of a text file: whole records, the same ones wherever reading begins again."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlship_runtime.errors import BadInput
from mlship_runtime.scoring import records
from mlship_runtime.scoring.job import Job
from mlship_runtime.scoring.source import Chunk, Place, TextSource

PIECES = st.lists(
    st.sampled_from(["a,b", "1,2", '"x\ny"', '"', '""', "\n", "\r\n", ",", "é", "\n\n", '"a""b"']),
    max_size=30,
)


def source_of(folder: Path, data: bytes, step: int, **more: object) -> TextSource:
    file = folder / "rows.csv"
    file.write_bytes(data)
    return TextSource(Job(str(file), "out", chunkBytes=step, **more))  # type: ignore[arg-type]


@settings(max_examples=50)
@given(pieces=PIECES, step=st.integers(1, 40), bom=st.booleans())
def test_chunks_are_the_file_and_begin_again_alike(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[str], step: int, bom: bool
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    data = (b"\xef\xbb\xbf" if bom else b"") + ("h,k\n" + "".join(pieces)).encode()
    source = source_of(folder, data, step)
    chunks = list(source.chunks())
    start = 7 if bom else 4
    assert b"".join(chunk.data for chunk in chunks) == data[start:]
    assert source.digest() == hashlib.sha256(data).hexdigest()
    for number, chunk in enumerate(chunks):
        end = start + sum(len(c.data) for c in chunks[: number + 1])
        assert chunk.end.position == end
        assert chunk.digest == hashlib.sha256(data[:end]).hexdigest()
        assert chunk.first_line == 1 + data[: end - len(chunk.data)].count(b"\n")
        again = source_of(folder, data, step)
        again.start(chunk.end, chunk.digest)
        assert list(again.chunks()) == chunks[number + 1 :]


@settings(max_examples=50)
@given(pieces=PIECES, step=st.integers(1, 40))
def test_a_chunk_ends_where_a_record_ends(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[str], step: int
) -> None:
    data = ("h,k\n" + "".join(pieces)).encode()
    chunks = list(source_of(tmp_path_factory.mktemp("rows"), data, step).chunks())
    if data.count(b'"') % 2 == 0:
        found = [record for chunk in chunks for _, record in records.split(chunk.data)]
        assert found == [record for _, record in records.split(data[4:])]


def test_a_quote_that_is_never_closed_takes_one_line(tmp_path: Path) -> None:
    chunks = list(source_of(tmp_path, b'h\na\nb"\nc\nd\n', 1 << 10).chunks())
    assert [chunk.data for chunk in chunks] == [b"a\n", b'b"\n', b"c\nd\n"]


def test_no_rows(tmp_path: Path) -> None:
    assert list(source_of(tmp_path, b"h,k\n", 10).chunks()) == []


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "names no columns"),
        (b"\n1\n", "names no columns"),
        ("h\n1\n".encode("utf-16"), "is UTF-16"),
        (b"\x1f\x8b\x08", "is no text"),
        (b"PAR1....", "is no text"),
        (b'"h\n1\n', "cannot be read"),
    ],
)
def test_what_is_no_csv(tmp_path: Path, data: bytes, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        source_of(tmp_path, data, 10)


def test_a_line_without_end(tmp_path: Path) -> None:
    source = source_of(tmp_path, b"h\n" + b"1" * (3 << 20), 10)
    with pytest.raises(BadInput, match="line 2 is longer than 1048576 bytes"):
        list(source.chunks())


def test_another_file_is_not_gone_on_with(tmp_path: Path) -> None:
    first = next(source_of(tmp_path, b"h\n1\n2\n3\n", 2).chunks())
    assert first == Chunk(b"1\n", 2, Place(4, 3), first.digest)
    with pytest.raises(BadInput, match="not the file that was begun with"):
        source_of(tmp_path, b"h\n7\n2\n3\n", 2).start(first.end, first.digest)


def test_a_file_that_changes_meanwhile(tmp_path: Path) -> None:
    source = source_of(tmp_path, b"h\n1\n", 2)
    list(source.chunks())
    source.finish()
    with (tmp_path / "rows.csv").open("ab") as file:
        file.write(b"2\n")
    with pytest.raises(BadInput, match="changed while it was read"):
        source.finish()
