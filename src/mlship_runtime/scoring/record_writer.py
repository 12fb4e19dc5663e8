"""Answers to records: each field of the copybook from an output of the model, or from what is kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Optional, Union

import numpy as np

from mlship_runtime.bundle.spec import TensorSpec
from mlship_runtime.errors import BadInput
from mlship_runtime.model.datatypes import Array
from mlship_runtime.records.block import Block, blank_block
from mlship_runtime.records.control import sums_of
from mlship_runtime.records.encode import check_writable, encode_texts, encode_whole
from mlship_runtime.records.form import RecordForm
from mlship_runtime.records.framing import Framing
from mlship_runtime.records.layout import WHOLE, Field
from mlship_runtime.records.rounding import Faults, fitting, whole_of, whole_of_texts
from mlship_runtime.records.schema import Schema
from mlship_runtime.records.table import Table
from mlship_runtime.records.write import alike
from mlship_runtime.scoring.layout import names_of
from mlship_runtime.scoring.record_cells import WholeCells
from mlship_runtime.scoring.rows import Unwritable, listed, picked

Cells = Union[Array, Sequence[Any]]


class _Output(NamedTuple):
    """A column of an output, by its place in the flattened row."""

    spec: TensorSpec
    place: int


class RecordWriter:
    """Raises BadInput for a field that nothing fills, or that cannot hold what would fill it."""

    def __init__(self, form: RecordForm, outputs: Sequence[TensorSpec], keep: Sequence[str]) -> None:
        self._schema = Schema(form)
        self._framing = Framing(form.recfm, self._schema.length)
        self.control: Mapping[str, int] = {}
        if self._schema.layout.variable and form.recfm == "fb":
            raise BadInput(f"{form.name} varies in length, and fixed records do not", fix="Write vb")
        if not self._schema.own_columns:
            raise BadInput(f"{form.name} names no field")
        known = {alike(name): _Output(spec, at) for spec in outputs for at, name in enumerate(names_of(spec))}
        kept = {alike(name): at for at, name in enumerate(keep)}
        self._from: dict[str, Union[_Output, int]] = {}
        for column in self._schema.own_columns:
            field = self._schema.columns[column]
            source = known.get(alike(column), kept.get(alike(column)))
            if source is None:
                what = f"nothing fills {field.name} of {form.name}"
                names = ", ".join([*known, *kept][:12]) or "nothing"
                raise BadInput(what, field=column, cause=f"there is {names}", fix="Map it, or make it FILLER")
            check_writable(field)
            _check_holds(field, source)
            self._from[column] = source

    def header(self, names: Sequence[str]) -> bytes:
        return b""

    def rows(self, kept: Sequence[Sequence[Any]], results: Mapping[str, Array]) -> bytes:
        """Raises Unwritable for what does not fit its field."""
        cells = {column: self._cells(column, kept, results) for column in self._from}
        count = len(next(iter(cells.values())))
        wrong: dict[int, tuple[str, str]] = {}
        parts = [
            (places, self._part(fields, length, cells, places, wrong))
            for places, fields, length in self._groups(cells, count, wrong)
        ]
        if wrong:
            raise Unwritable(wrong)
        fixed = parts and parts[0][0] is None
        block = parts[0][1] if fixed else _together(parts, count, self._schema.length)
        self.control = sums_of(Table(self._schema, block))
        return self._framing.framed(block)

    def _cells(self, column: str, kept: Sequence[Sequence[Any]], results: Mapping[str, Array]) -> Cells:
        source = self._from[column]
        if isinstance(source, int):
            return kept[source]
        array = results[source.spec.name]
        return np.asarray(array.reshape(len(array), -1)[:, source.place])

    def _groups(
        self, cells: Mapping[str, Cells], count: int, wrong: dict[int, tuple[str, str]]
    ) -> Iterator[tuple[Optional[Array], Mapping[str, Field], int]]:
        """Rows with the same numbers of elements; of a fixed layout all."""
        counters = self._schema.layout.counters
        if not counters:
            yield None, self._schema.columns, self._schema.length
            return
        columns = []
        for counter in counters:
            column, field = next(one for one in self._schema.columns.items() if one[1].name == counter.name)
            whole, faults = _whole(field, cells[column])
            for at in np.flatnonzero((whole < counter.least) | (whole > counter.most)).tolist():
                reason = f"{int(whole[at])} is not between {counter.least} and {counter.most}"
                wrong.setdefault(at, (counter.name, faults.get(at, reason)))
            columns.append(np.clip(whole, counter.least, counter.most).astype(np.int64))
        unique, inverse = np.unique(np.stack(columns, axis=1), axis=0, return_inverse=True)
        for number, counts in enumerate(unique.tolist()):
            fields, length = self._schema.fields_at(tuple(counts))
            yield np.flatnonzero(inverse.reshape(-1) == number), fields, length

    def _part(
        self,
        fields: Mapping[str, Field],
        length: int,
        cells: Mapping[str, Cells],
        places: Optional[Array],
        wrong: dict[int, tuple[str, str]],
    ) -> Block:
        form = self._schema.form
        count = len(next(iter(cells.values()))) if places is None else len(places)
        out = blank_block(count, length, form.page.blank)
        for field in self._schema.layout.fields if places is None else fields.values():
            if field.filler and field.kind in WHOLE and not field.view:
                encode_whole(field, np.zeros(count, np.int64), out, form)
        for column in self._from:
            if column not in fields:
                continue
            found = cells[column] if places is None else _picked(cells[column], places)
            for at, reason in _encoded(fields[column], found, out, form).items():
                row = at if places is None else int(places[at])
                wrong.setdefault(row, (fields[column].name, reason))
        return out


def _encoded(field: Field, cells: Cells, out: Block, form: RecordForm) -> Faults:
    if field.kind in WHOLE:
        whole, faults = _whole(field, cells)
        encode_whole(field, whole, out, form)
        return faults
    texts = listed(cells) if not isinstance(cells, np.ndarray) else cells.tolist()
    return encode_texts(field, [_text(value) for value in texts], out, form)


def _whole(field: Field, cells: Cells) -> tuple[Array, Faults]:
    if isinstance(cells, np.ndarray) and cells.dtype.kind != "O":
        return whole_of(field, cells)
    if isinstance(cells, WholeCells) and cells.scale == field.scale and not cells.missing.any():
        return fitting(field, cells.whole)
    values = cells.tolist() if isinstance(cells, np.ndarray) else listed(cells)
    return whole_of_texts(field, values)


def _text(value: Any) -> Any:
    return value if value is None or isinstance(value, str) else str(value)


def _picked(cells: Cells, places: Array) -> Cells:
    return cells[places] if isinstance(cells, np.ndarray) else picked(cells, places.tolist())


def _together(parts: Sequence[tuple[Optional[Array], Block]], count: int, stride: int) -> Block:
    """Records of several lengths, in their order."""
    rows, lengths = np.zeros((count, stride), np.uint8), np.zeros(count, np.int64)
    for places, block in parts:
        rows[places, : block.stride] = block.bytes_at(0, block.stride)
        lengths[places] = block.stride
    return Block(rows.reshape(-1), stride, lengths)


def _check_holds(field: Field, source: Union[_Output, int]) -> None:
    if isinstance(source, int):
        return
    text = source.spec.datatype == "BYTES"
    if text != (field.kind == "text"):
        what = (
            f"{source.spec.name} is a {'text' if text else 'number'}, and {field.name} is PIC {field.picture}"
        )
        raise BadInput(what, field=source.spec.name)
