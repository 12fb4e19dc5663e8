"""A chunk of records to rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlship_runtime.bundle.spec import TensorSpec
from mlship_runtime.errors import BadInput
from mlship_runtime.model.datatypes import Array
from mlship_runtime.model.fields import cast
from mlship_runtime.records.form import RecordForm
from mlship_runtime.records.framing import Framing
from mlship_runtime.records.layout import WHOLE, Field
from mlship_runtime.records.schema import Schema
from mlship_runtime.records.table import Table
from mlship_runtime.scoring.cells import read_cells
from mlship_runtime.scoring.csv_rows import shaped
from mlship_runtime.scoring.layout import Layout
from mlship_runtime.scoring.record_cells import WholeCells
from mlship_runtime.scoring.rows import Rows, without
from mlship_runtime.scoring.writing import plain

Wrong = dict[int, tuple[str, str]]
_MISSING = "is missing, and not nullable"


class RecordRows:
    """Reads chunks that begin and end with a record (block). Raises BadInput where the model reads a text and
    the record has a number: how that is written as a text nobody knows."""

    def __init__(self, form: RecordForm, layout: Layout) -> None:
        self._schema, self._layout = Schema(form), layout
        self._framing = Framing(form.recfm, self._schema.length)
        for spec, places in layout.inputs:
            for place in places:
                field = self._field(place)
                if spec.datatype == "BYTES" and field.kind != "text":
                    what = f"{spec.name} is a text, and {field.name} a number"
                    raise BadInput(what, field=spec.name, fix="Redefine the field as PIC X, and map that")

    def __call__(self, data: bytes, first_line: int) -> Rows:
        block = self._framing.block(data, first_line)
        table = Table(self._schema, block)
        lines = range(first_line, first_line + block.count)
        wrong: Wrong = dict(table.wrong)
        rows = Rows(block.count, {}, [], lines, lambda at: block.record(at).hex())
        rows.kept = [self._kept(table, place, wrong) for place in self._layout.kept]
        for spec, places in self._layout.inputs:
            parts = [self._column(spec, table, place, wrong) for place in places]
            array = parts[0] if len(parts) == 1 else np.stack(parts, axis=1)
            rows.columns[spec.name] = shaped(spec, array, block.count)
        return without(rows, dict(sorted(wrong.items())))

    def _field(self, place: int) -> Field:
        return self._schema.columns[self._layout.header[place]]

    def _column(self, spec: TensorSpec, table: Table, place: int, wrong: Wrong) -> Array:
        column, field = self._layout.header[place], self._field(place)
        if field.kind == "text":
            texts, bad = table.texts(column)
            return self._cells(spec, table, place, texts.tolist(), bad, wrong)
        if spec.datatype != "BOOL":
            numbers = table.floats(column)
            if not np.isnan(numbers).any() and (array := cast(spec, numbers, complete=True)) is not None:
                return array
        found, bad = self._values(table, place)
        return self._cells(spec, table, place, [plain(value) for value in found], bad, wrong)

    def _cells(
        self, spec: TensorSpec, table: Table, place: int, cells: list[Any], bad: Array, wrong: Wrong
    ) -> Array:
        """Value by value, with the reason of each bad one."""
        column, name = self._layout.header[place], self._field(place).name
        blank = table.blank(column) if bad.any() or spec.nullable else np.zeros(len(bad), bool)
        for at in np.flatnonzero(bad).tolist():
            cells[at] = ""
            if not blank[at]:
                wrong.setdefault(at, (name, table.reason(column, at)))
            elif not spec.nullable:
                wrong.setdefault(at, (name, _MISSING))
        array, faults = read_cells(spec, [cell or "" for cell in cells])
        for at, reason in faults.items():
            wrong.setdefault(at, (name, reason))
        return array

    def _values(self, table: Table, place: int) -> tuple[Sequence[Any], Array]:
        """As exact as they are, and which are none."""
        column, field = self._layout.header[place], self._field(place)
        if field.kind == "text":
            found, bad = table.texts(column)
            return found.tolist(), bad
        if field.kind not in WHOLE:
            numbers = table.floats(column)
            return numbers.tolist(), np.isnan(numbers)
        whole, bad = table.whole(column)
        return WholeCells(whole, field.scale, bad), bad

    def _kept(self, table: Table, place: int, wrong: Wrong) -> Sequence[Any]:
        """What is not there (an element beyond the last) has no value; what is damaged is wrong."""
        found, bad = self._values(table, place)
        if bad.any():
            column = self._layout.header[place]
            for at in np.flatnonzero(bad & ~table.absent(column)).tolist():
                wrong.setdefault(at, (self._field(place).name, table.reason(column, at)))
            if not isinstance(found, WholeCells):
                found = [None if none else value for value, none in zip(found, bad.tolist())]
        return found
