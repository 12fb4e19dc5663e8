"""Parquet in and out, by pyarrow. Answers are first appended as Arrow messages, which can be cut back to a
checkpoint as a Parquet file cannot, and become Parquet in the end."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mlship_runtime.bundle.spec import TensorSpec
from mlship_runtime.errors import BadInput
from mlship_runtime.model.columns import check_column
from mlship_runtime.model.datatypes import Array
from mlship_runtime.scoring.json_rows import columns_of
from mlship_runtime.scoring.layout import Layout, names_of
from mlship_runtime.scoring.part import digest_of_file
from mlship_runtime.scoring.rows import Rows
from mlship_runtime.scoring.source import Chunk, Place
from mlship_runtime.scoring.writing import json_text

_LENGTH = struct.Struct("<Q")
_GROUP = 1 << 17  # rows of a row group that is written


class ParquetSource:
    """Chunks are Arrow messages; a place counts rows, and `digest` is of the whole file."""

    def __init__(self, path: str, step: int) -> None:
        self._path, self._step = path, step
        self._before = os.stat(path)
        self.size = self._before.st_size
        self._digest = digest_of_file(Path(path))
        try:
            self._file = pq.ParquetFile(path)
        except pa.ArrowException as error:
            raise BadInput(f"{path} cannot be read as Parquet", cause=str(error)) from error
        self.total = self._file.metadata.num_rows
        self.header = tuple(self._file.schema_arrow.names)
        self.place = Place()

    def start(self, place: Place, digest: str) -> None:
        if digest != self._digest:
            raise BadInput(f"{self._path} is not the file that was begun with", fix="Begin anew with --fresh")
        self.place = place

    def chunks(self) -> Iterator[Chunk]:
        at, wanted = 0, self.place.position
        for group in range(self._file.num_row_groups):
            rows = self._file.metadata.row_group(group).num_rows
            if at + rows <= wanted:
                at += rows
                continue
            for batch in self._file.iter_batches(self._step, row_groups=[group]):
                at += batch.num_rows
                if at <= wanted:
                    continue
                first, self.place = self.place.line, Place(at, at + 1)
                yield Chunk(_message(batch), first, self.place, self._digest)

    def digest(self) -> str:
        return self._digest

    def finish(self) -> None:
        now = os.stat(self._path)
        if (now.st_size, now.st_mtime_ns) != (self._before.st_size, self._before.st_mtime_ns):
            raise BadInput(f"{self._path} changed while it was read", fix="Begin anew with --fresh")


class ParquetRows:
    """Reads such chunks. Lists feed inputs of several dimensions."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def __call__(self, data: bytes, first_line: int) -> Rows:
        batch = next(iter(pa.ipc.open_stream(data)))
        count = batch.num_rows
        kept = [batch.column(place) for place in self._layout.kept]
        lines = range(first_line, first_line + count)
        rows = Rows(count, {}, kept, lines, lambda at: json_text(batch.slice(at, 1).to_pylist()[0]))
        quick = self._quick(batch)
        if quick is not None:
            rows.columns = quick
            return rows
        values = {}
        for spec, places in self._layout.inputs:
            parts = [batch.column(place).to_pylist() for place in places]
            values[spec.name] = (
                parts[0] if len(spec.shape) == 1 or len(parts) == 1 else list(map(list, zip(*parts)))
            )
        return columns_of(rows, [spec for spec, _ in self._layout.inputs], values)

    def _quick(self, batch: Any) -> Any:
        """The columns, if they are numbers or texts without a gap, and all good."""
        columns = {}
        try:
            for spec, places in self._layout.inputs:
                parts = [_array(batch.column(place), spec) for place in places]
                array = parts[0] if len(parts) == 1 else np.stack(parts, axis=1)
                columns[spec.name] = check_column(spec, array)
        except BadInput:
            return None
        return columns


class ParquetFrames:
    """Writes answers as Arrow messages, each with its length. Kept columns have their
    Arrow type; of other formats they become texts."""

    control: Mapping[str, int] = MappingProxyType({})

    def __init__(self, outputs: Sequence[TensorSpec], keep: Sequence[str]) -> None:
        self._outputs, self._keep = tuple(outputs), tuple(keep)

    def header(self, names: Sequence[str]) -> bytes:
        return b""

    def rows(self, kept: Sequence[Sequence[Any]], results: Mapping[str, Array]) -> bytes:
        arrays, names = [], list(self._keep)
        for cells in kept:
            typed = isinstance(cells, pa.Array)
            arrays.append(cells if typed else pa.array([_kept(cell) for cell in cells], pa.string()))
        for spec in self._outputs:
            array = results[spec.name].reshape(len(results[spec.name]), -1)
            names += names_of(spec)
            arrays += [_column(array[:, at]) for at in range(array.shape[1])]
        message = _message(pa.record_batch(arrays, names=names))
        return _LENGTH.pack(len(message)) + message


def whole_file(part: Path, whole: Path) -> None:
    """The answers in `part` as the Parquet file `whole`, durable; the same bytes for the same answers."""
    writer, waiting, count = None, [], 0
    try:
        for batch in _messages(part):
            writer = writer or pq.ParquetWriter(whole, batch.schema)
            waiting.append(batch)
            count += batch.num_rows
            if count >= _GROUP:
                writer.write_table(pa.Table.from_batches(waiting), row_group_size=count)
                waiting, count = [], 0
        if waiting and writer is not None:
            writer.write_table(pa.Table.from_batches(waiting), row_group_size=count)
        if writer is None:
            pq.write_table(pa.table({}), whole)
    finally:
        if writer is not None:
            writer.close()
    descriptor = os.open(whole, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _messages(part: Path) -> Iterator[Any]:
    with part.open("rb") as file:
        while length := file.read(_LENGTH.size):
            yield next(iter(pa.ipc.open_stream(file.read(_LENGTH.unpack(length)[0]))))


def _message(batch: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    return bytes(sink.getvalue())


def _array(column: Any, spec: TensorSpec) -> Array:
    """Raises BadInput where only value by value will do."""
    if pa.types.is_fixed_size_list(column.type) and not column.null_count:
        return _array(column.flatten(), spec).reshape(len(column), -1)
    if column.null_count and not pa.types.is_floating(column.type) and spec.datatype != "BYTES":
        raise BadInput("values are missing")
    try:
        array: Array = column.to_numpy(zero_copy_only=False)
    except pa.ArrowException as error:
        raise BadInput(str(error)) from error
    return array


def _column(cells: Array) -> Any:
    if cells.dtype.kind in "OUS":
        return pa.array(cells.tolist(), pa.string())
    return pa.array(np.ascontiguousarray(cells))


def _kept(value: Any) -> Any:
    return value if value is None or isinstance(value, str) else json_text(value)
