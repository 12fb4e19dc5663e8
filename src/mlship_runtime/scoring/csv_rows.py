"""A chunk of CSV (RFC 4180; line ends LF or CRLF) to rows, in three ways that agree. Where all is numbers
they are read at once; where no quotes are, fields are split; else each record is read by Python's reader."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import Any, Optional

import numpy as np

from mlship_runtime.bundle.spec import TensorSpec
from mlship_runtime.model.datatypes import Array
from mlship_runtime.model.fields import cast, floats
from mlship_runtime.scoring import records
from mlship_runtime.scoring.cells import read_cells
from mlship_runtime.scoring.grid import Grid, grid_of
from mlship_runtime.scoring.layout import Layout
from mlship_runtime.scoring.rows import Rows, bad_row, without


class CsvRows:
    """Reads chunks that begin and end with a record."""

    def __init__(self, layout: Layout, delimiter: str) -> None:
        self._layout, self._delimiter = layout, delimiter
        self._width = len(layout.header)
        self._numbers = bool(layout.inputs) and all(
            spec.datatype not in ("BYTES", "BOOL") for spec, _ in layout.inputs
        )
        self._used = sorted({place for _, places in layout.inputs for place in places})
        self._at = {place: at for at, place in enumerate(self._used)}
        order = [self._at[place] for _, places in layout.inputs for place in places]
        self._plain = order == list(range(len(order))) and len(layout.inputs) == 1

    def __call__(self, data: bytes, first_line: int) -> Rows:
        if b'"' not in data and b"\0" not in data:
            plain = data.replace(b"\r\n", b"\n") if b"\r" in data else data
            plain = plain if plain.endswith(b"\n") else plain + b"\n"
            grid = grid_of(plain, self._delimiter, self._width) if b"\r" not in plain else None
            if grid is not None:
                found = self._all_numbers(grid, first_line) or self._split(plain, grid.count, first_line)
                if found is not None:
                    return found
        return self._thorough(data, first_line)

    def _all_numbers(self, grid: Grid, first_line: int) -> Optional[Rows]:
        """None if what the model reads is not all numbers."""
        if not self._numbers:
            return None
        flat = grid.only(self._used)[:-1]
        if self._delimiter != ",":
            if b"," in flat:
                return None
            flat = flat.replace(self._delimiter.encode(), b",")
        flat = flat.replace(b"\n", b",")
        array = floats(flat)
        columns = None if array is None else self._cast(array.reshape(grid.count, len(self._used)))
        if columns is None:
            return None
        try:
            if not grid.data.isascii():
                grid.data.decode("utf-8")
            kept: list[Sequence[Any]] = [grid.cells(place) for place in self._layout.kept]
        except UnicodeDecodeError:
            return None
        lines = range(first_line, first_line + grid.count)
        return Rows(grid.count, columns, kept, lines, _lines_of(grid.data))

    def _cast(self, table: Array) -> Optional[dict[str, Array]]:
        complete = not np.isnan(table).any()
        turned = None if self._plain else np.ascontiguousarray(table.T)
        columns = {}
        for spec, places in self._layout.inputs:
            if turned is None:
                part = table
            elif len(places) == 1:
                part = turned[self._at[places[0]]]
            else:
                part = np.ascontiguousarray(turned[[self._at[place] for place in places]].T)
            array = cast(spec, part, complete)
            if array is None:
                return None
            columns[spec.name] = shaped(spec, array, len(table))
        return columns

    def _split(self, data: bytes, count: int, first_line: int) -> Optional[Rows]:
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            return None
        cells = text[:-1].replace("\n", self._delimiter).split(self._delimiter)
        rows = Rows(count, {}, [], range(first_line, first_line + count), _lines_of(data))
        return self._columns([cells[place :: self._width] for place in range(self._width)], rows)

    def _thorough(self, data: bytes, first_line: int) -> Rows:
        found = [(at, record) for at, record in records.split(data) if record or self._width == 1]
        good = self._at_once(data, [record for _, record in found])
        if good is not None:
            lines = [first_line + at for at, _ in found]
            return self._rows(good, Rows(len(good), {}, [], lines, lambda at: found[at][1].decode()))
        good, lines, texts, bad = [], [], [], []
        for at, record in found:
            text = record.decode("utf-8", "replace")
            try:
                good.append(self._fields(record))
                lines.append(first_line + at)
                texts.append(text)
            except ValueError as error:
                line, more = first_line + at, record.count(b"\n")
                reason = f"{error}, lines {line} to {line + more}" if more else str(error)
                bad.append(bad_row(line, "", reason, text))
        return self._rows(good, Rows(len(found), {}, [], lines, texts.__getitem__, bad))

    def _at_once(self, data: bytes, found: list[bytes]) -> Optional[list[list[str]]]:
        """The fields of all records; None if one is not as it should be."""
        if b"\0" in data:
            return None
        try:
            texts = [record.decode("utf-8") for record in found]
            rows = list(csv.reader(texts, delimiter=self._delimiter, strict=True))
        except (UnicodeDecodeError, csv.Error):
            return None
        # The reader takes the next record for the rest of one that is not closed: then there are fewer rows.
        if len(rows) != len(found) or any(len(row) != self._width for row in rows):
            return None
        return rows

    def _fields(self, record: bytes) -> list[str]:
        """The fields of one record; raises ValueError that says what is wrong with it."""
        if b"\0" in record:
            raise ValueError("it holds a NUL character")
        try:
            text = record.decode("utf-8")
        except UnicodeDecodeError:
            raise ValueError("it is not UTF-8") from None
        try:
            rows = list(csv.reader([text], delimiter=self._delimiter, strict=True))
        except csv.Error as error:
            raise ValueError(f"it is not well formed: {error}") from None
        fields = rows[0] or [""]
        if len(fields) != self._width:
            raise ValueError(f"it has {len(fields)} fields, the header {self._width}")
        return fields

    def _rows(self, fields: list[list[str]], rows: Rows) -> Rows:
        """`rows` with what the fields of each row give."""
        return self._columns([[row[place] for row in fields] for place in range(self._width)], rows)

    def _columns(self, columns: list[list[str]], rows: Rows) -> Rows:
        """`rows` with the columns that the cells give, and without those whose cells are bad."""
        rows.kept = [columns[place] for place in self._layout.kept]
        wrong: dict[int, tuple[str, str]] = {}
        if not len(rows.lines):
            return rows
        for spec, places in self._layout.inputs:
            parts = []
            for place in places:
                part, faults = read_cells(spec, columns[place])
                parts.append(part)
                for at, reason in faults.items():
                    wrong.setdefault(at, (self._layout.header[place], reason))
            array = parts[0] if len(parts) == 1 else np.stack(parts, axis=1)
            rows.columns[spec.name] = shaped(spec, array, len(rows.lines))
        return without(rows, wrong)


def shaped(spec: TensorSpec, array: Array, count: int) -> Array:
    """`array` with `count` rows in the rank of `spec`; an open size is what is there."""
    return array.reshape((count, *spec.shape[1:]))


def _lines_of(data: bytes) -> Any:
    return lambda at: data.split(b"\n")[at].decode("utf-8", "replace")
