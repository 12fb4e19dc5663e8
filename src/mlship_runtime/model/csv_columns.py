"""Columns from the text of a CSV, by the schema."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Optional, Union

from mlship_runtime.bundle.spec import TensorSpec
from mlship_runtime.errors import BadInput
from mlship_runtime.model.datatypes import Array
from mlship_runtime.model.fields import field_array, is_number, parse_field
from mlship_runtime.model.tensors import array_of, unknown_input

_Lines = list[tuple[int, list[str]]]


def read_csv(
    source: Union[str, Path],
    inputs: Sequence[TensorSpec],
    names: Optional[Sequence[str]] = None,
    most: Optional[int] = None,
) -> dict[str, Array]:
    """Columns from CSV: the text itself (a str) or a file (a path). Its first line names the columns, unless
    `names` does. More than `most` rows are refused before they are all read.

    An empty field (or NA, NaN, null, none) is a missing value; in a BYTES column only an empty one is, and
    where that is not nullable it is the empty text. A single input [-1, n] takes n columns of any names, in
    their order. Raises BadInput that names line and column."""
    text = source if isinstance(source, str) else _read_text(source)
    if "\0" in text:  # Python before 3.11 refuses it, later ones take it: the same everywhere
        line = text[: text.index("\0")].count("\n") + 1
        raise BadInput(f"line {line} of the CSV is not well formed", cause="it holds a NUL character")
    header, rows = _lines(text, names, most)
    if len(inputs) == 1 and len(inputs[0].shape) == 2:
        return _matrix(header, rows, inputs[0])
    return _named_columns(header, rows, inputs)


def _lines(text: str, names: Optional[Sequence[str]], most: Optional[int]) -> tuple[list[str], _Lines]:
    """The names of the columns, and each row with its line."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: _Lines = []
    try:
        header = next(reader, []) if names is None else list(names)
        width = len(header)
        for row in reader:
            if not row:
                continue
            if len(row) != width:
                there = "its first line" if names is None else "the model reads"
                what = f"line {reader.line_num} of the CSV has {len(row)} fields, {there} {width}"
                raise BadInput(what)
            if len(rows) == most:
                raise BadInput(f"the CSV has more than {most:,} rows", cause="no more are taken at a time")
            rows.append((reader.line_num, row))
    except csv.Error as error:
        raise BadInput(f"line {reader.line_num} of the CSV is not well formed", cause=str(error)) from error
    if not rows:
        raise BadInput("the CSV has no rows", cause="its first line names the columns")
    return header, rows


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path.name} cannot be read", cause=str(error)) from error


def _named_columns(header: list[str], rows: _Lines, inputs: Sequence[TensorSpec]) -> dict[str, Array]:
    places: dict[str, int] = {}
    known = {spec.name: spec for spec in inputs}
    for index, name in enumerate(header):
        name = name.strip()
        if name not in known:
            raise unknown_input(name, known)
        if name in places:
            raise BadInput(f"the CSV names {name} twice", field=name)
        places[name] = index
    found = {}
    for name, spec in known.items():
        if name not in places:
            raise BadInput(f"the CSV has no column {name}", field=name)
        if len(spec.shape) != 1 and spec.shape[1:] != (1,):
            raise BadInput(f"{name} has the shape {list(spec.shape)}: not one column of a CSV", field=name)
        cells = [row[places[name]] for _, row in rows]
        array = _read(spec, cells, rows, [name])
        found[name] = array.reshape((len(rows), *spec.shape[1:]))
    return found


def _matrix(header: list[str], rows: _Lines, spec: TensorSpec) -> dict[str, Array]:
    width, count = spec.shape[1], len(header)
    if width not in (-1, count):
        raise BadInput(f"the CSV has {count} columns, {spec.name} {width}", field=spec.name)
    numbered = header == [str(index) for index in range(count)]
    if not numbered and all(map(is_number, header)):
        raise BadInput("the first line of the CSV holds numbers", cause="it must name the columns")
    cells = [cell for _, row in rows for cell in row]
    array = _read(spec, cells, rows, header)
    return {spec.name: array.reshape(len(rows), count)}


def _read(spec: TensorSpec, cells: Sequence[str], rows: _Lines, columns: Sequence[str]) -> Array:
    """The values of the fields of `rows` in these columns, row by row. Raises BadInput for the first bad
    one."""
    array = field_array(spec, cells)
    if array is not None:
        return array
    values = []
    for at, text in enumerate(cells):
        try:
            values.append(parse_field(spec, text))
        except ValueError as error:
            row, place = divmod(at, len(columns))
            what = f"line {rows[row][0]}, {columns[place]}: {text[:40]!r} {error}"
            raise BadInput(what, field=columns[place]) from None
    return array_of(spec, values)
