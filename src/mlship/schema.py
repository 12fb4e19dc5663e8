"""What a table of examples says about its columns: names, V2 datatypes, missing values.

An empty cell (or NA, NaN, null, none among numbers) is a missing value. Whole numbers with a missing value
become FP64, for NaN has no integer form.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mlship.errors import BuildError
from mlship_runtime.bundle.spec import TensorSpec

_WHOLE = re.compile(r"[+-]?[0-9]{1,19}")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_TRUTH = {"true": True, "false": False}
_MISSING = frozenset(("", "na", "nan", "null", "none"))  # as mlship_runtime.model.columns reads them
_INTEGERS = {
    f"{sign}INT{bits}": (0, 2**bits - 1) if sign else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    for sign in ("", "U")
    for bits in (8, 16, 32, 64)
}


class Override(Protocol):
    """What a project says about a column; None is "take it from the examples"."""

    @property
    def type(self) -> str | None: ...
    @property
    def nullable(self) -> bool | None: ...


@dataclass(frozen=True)
class Table:
    """A CSV file as text: `rows[i]` stands on line `lines[i]` and has one cell per name of `header`."""

    name: str
    header: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    lines: Sequence[int]

    def only(self, columns: Iterable[str]) -> Table:
        """The same rows with `columns` alone, in that order; raises BuildError for one that is not there."""
        wanted = tuple(columns)
        for name in wanted:
            if name not in self.header:
                raise BuildError(f"{self.name} has no column {name!r}", cause=f"it has {_some(self.header)}")
        at = [self.header.index(name) for name in wanted]
        return Table(self.name, wanted, [[row[i] for i in at] for row in self.rows], self.lines)


def read_table(path: Path) -> Table:
    """Read a CSV file with a header; raises BuildError that names the line at fault."""
    name = path.name
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            numbered = [(reader.line_num, row) for row in reader if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        cause = "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)
        raise BuildError(f"{name} cannot be read as CSV", cause=cause) from error
    if not numbered:
        raise BuildError(f"{name} is empty", fix="Write a header and at least one row of examples")
    header = tuple(cell.strip() for cell in numbered[0][1])
    _check_header(name, header)
    for line, row in numbered[1:]:
        if len(row) != len(header):
            raise BuildError(f"{name}:{line} has {len(row)} cells", cause=f"the header has {len(header)}")
    if len(numbered) == 1:
        raise BuildError(f"{name} has a header and no rows", fix="Add rows of raw inputs as examples")
    return Table(name, header, [row for _, row in numbered[1:]], [line for line, _ in numbered[1:]])


def infer(table: Table, overrides: Mapping[str, Override] | None = None) -> tuple[TensorSpec, ...]:
    """One tensor of shape [-1] per column; `overrides` by column name win over what the cells look like.

    Raises BuildError for a column that is wholly empty and not described, and for unknown overrides.
    """
    stated = overrides or {}
    for name in stated:
        if name not in table.header:
            raise BuildError(
                f"[schema.{name}] describes a column that {table.name} does not have",
                cause=f"it has {_some(table.header)}",
            )
    columns = zip(*table.rows, strict=True)
    return tuple(
        _infer_column(table.name, name, cells, stated.get(name))
        for name, cells in zip(table.header, columns, strict=True)
    )


def read_column(table: Table, tensor: TensorSpec) -> list[Any]:
    """The values of one column: numbers, truth values or text; None where missing.

    Raises BuildError that names column and line for a cell that is not of the tensor's datatype.
    """
    at = table.header.index(tensor.name)
    values = []
    for line, row in zip(table.lines, table.rows, strict=True):
        value, why = _read_cell(row[at].strip() if tensor.datatype != "BYTES" else row[at], tensor)
        if why:
            raise BuildError(
                f"{table.name}:{line} column {tensor.name!r}: {row[at][:40]!r} {why}",
                fix=f"Correct the example or describe the column in [schema.{tensor.name}]",
            )
        values.append(value)
    return values


def _infer_column(file: str, name: str, cells: Sequence[str], stated: Override | None) -> TensorSpec:
    datatype = stated.type if stated else None
    nullable = stated.nullable if stated else None
    known = [cell.strip() for cell in cells if cell.strip().lower() not in _MISSING]
    missing = len(known) < len(cells)
    if datatype is None:
        if not known:
            raise BuildError(
                f"{file} has no value in column {name!r}", fix=f"State its type in [schema.{name}]: type = …"
            )
        datatype = _look(known)
        if datatype == "INT64" and (missing or nullable):
            datatype = "FP64"
    if datatype == "BYTES":
        missing = "" in cells
    return TensorSpec(name, datatype, (-1,), missing if nullable is None else nullable)


def _look(cells: Sequence[str]) -> str:
    if all(cell.lower() in _TRUTH for cell in cells):
        return "BOOL"
    low, high = _INTEGERS["INT64"]
    if all(_WHOLE.fullmatch(cell) and low <= int(cell) <= high for cell in cells):
        return "INT64"
    if all(_NUMBER.fullmatch(cell) for cell in cells):
        return "FP64"
    return "BYTES"


def _read_cell(cell: str, tensor: TensorSpec) -> tuple[Any, str]:
    """(value, "") or (None, why it is refused)."""
    if tensor.datatype == "BYTES":
        return None if cell == "" and tensor.nullable else cell, ""
    if cell.lower() in _MISSING:
        return None, "" if tensor.nullable else "is missing, and the column is not nullable"
    if tensor.datatype == "BOOL":
        value = {"1": True, "0": False, **_TRUTH}.get(cell.lower())
        return value, "" if value is not None else "is neither true nor false"
    if tensor.datatype in _INTEGERS:
        low, high = _INTEGERS[tensor.datatype]
        if not _WHOLE.fullmatch(cell) or not low <= int(cell) <= high:
            return None, f"is not a whole number of type {tensor.datatype}"
        return int(cell), ""
    if not _NUMBER.fullmatch(cell) or math.isinf(float(cell)):
        return None, "is not a finite number"
    return float(cell), ""


def _check_header(name: str, header: tuple[str, ...]) -> None:
    for at, column in enumerate(header):
        if not column:
            raise BuildError(
                f"{name}: column {at + 1} has no name",
                cause="a table written with its row numbers looks so",
                fix="Write it without them (pandas: index=False)",
            )
        if header.index(column) != at:
            raise BuildError(f"{name} has two columns named {column!r}")
    if all(_NUMBER.fullmatch(column) for column in header):
        raise BuildError(f"{name} has no header", fix="Write the columns' names into its first line")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
