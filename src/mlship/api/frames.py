"""Rows as people have them in Python, as the files and requests that mlship reads. No library is imported for
them: what somebody has rows in, they have loaded themselves."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from mlship.errors import UsageError

MOST_ROWS = 100_000  # of more, evenly spread ones are written; a build takes 10 000 of those
CSV, JSON = "text/csv", "application/json"
_NOTHING = ("NAType", "NaTType")  # pandas.NA cannot be compared


def rows_file(rows: object) -> tuple[str, bytes]:
    """The suffix and content of a file of examples: CSV of a frame or of dicts, .npy of an array. Raises
    UsageError for what is none of these."""
    if _is_array(rows):
        return ".npy", _npy(rows)
    return ".csv", csv_of(_fewer(rows))


def request_of(rows: object) -> tuple[bytes, str]:
    """A request and its content type: a dict is one already. Raises UsageError."""
    if isinstance(rows, dict):
        return _json(rows), JSON
    if _is_array(rows):
        return _json({"inputs": _table(rows).tolist()}), JSON
    return csv_of(rows), CSV


def csv_of(rows: object) -> bytes:
    """A frame (pandas, polars) or a list of dicts as CSV with a header; empty cells are missing values.
    Raises UsageError."""
    header, lines = _lines(rows)
    names = [_name(name) for name in header]
    written = io.StringIO(newline="")
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(names)
    begun = written.tell()
    writer.writerows([_cell(value) for value in line] for line in lines)
    if written.tell() == begun or not names:
        raise UsageError("there are no rows in what was given", fix="Give at least one row")
    return written.getvalue().encode()


def _lines(rows: Any) -> tuple[Sequence[Any], Iterable[Sequence[Any]]]:
    columns = getattr(rows, "columns", None)
    if columns is not None and hasattr(rows, "itertuples"):
        return list(columns), rows.itertuples(index=False, name=None)
    if columns is not None and hasattr(rows, "iter_rows"):
        return list(columns), rows.iter_rows()
    if isinstance(rows, (list, tuple)) and rows and all(isinstance(row, dict) for row in rows):
        header = list(rows[0])
        for at, row in enumerate(rows):
            if set(row) != set(header):
                raise UsageError(f"row {at} has other names than row 0", fix="Give None for a missing value")
        return header, ([row[name] for name in header] for row in rows)
    raise UsageError(
        f"a {type(rows).__name__} is not rows",
        fix="Give a DataFrame, a list of dicts, or an array of shape [rows, features]",
    )


def _fewer(rows: Any) -> Any:
    count = len(rows) if hasattr(rows, "__len__") else 0
    if count <= MOST_ROWS:
        return rows
    step = -(-count // MOST_ROWS)
    return rows.iloc[::step] if hasattr(rows, "iloc") else rows[::step]


def _name(name: object) -> str:
    if isinstance(name, tuple):
        raise UsageError(f"the column {name!r} has several names", fix="Give each column one name")
    return str(name)


def _cell(value: Any) -> str:
    """As mlship_runtime reads it back to the same value."""
    if hasattr(value, "item") and not isinstance(value, (list, dict)):
        value = value.item()  # of NumPy
    if value is None or type(value).__name__ in _NOTHING:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return "" if value != value else repr(value)
    return str(value)


def _is_array(rows: object) -> bool:
    return hasattr(rows, "__array_interface__") and hasattr(rows, "ndim")


def _table(array: Any) -> Any:
    if array.ndim != 2 or array.dtype.kind not in "biuf":
        raise UsageError(
            f"an array of shape {tuple(array.shape)} and type {array.dtype} is not rows of numbers",
            fix="Give one of shape [rows, features], or a DataFrame for text",
        )
    return array


def _npy(rows: Any) -> bytes:
    array = _table(rows)
    written = io.BytesIO()
    sys.modules["numpy"].save(written, _fewer(array), allow_pickle=False)
    return written.getvalue()


def _json(value: Any) -> bytes:
    """NaN, which JSON has no word for, is null."""
    try:
        return json.dumps(_plain(value), allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise UsageError("the request cannot be written as JSON", cause=str(error)) from error


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    return None if isinstance(value, float) and value != value else value
