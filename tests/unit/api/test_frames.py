"""Rows out of Python as mlship reads them: the same values come back, and what is no rows is refused."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlship.api import frames
from mlship.api.frames import csv_of, request_of, rows_file
from mlship.errors import UsageError
from mlship.schema import infer, read_column, read_table

COLUMNS: dict[str, list[Any]] = {
    "age": [41, 3, 77],
    "minutes": [0.1, 1e-300, float("nan")],
    "plan": ["pro", None, 'a "quoted", line\nand é'],
    "active": [True, False, True],
}


class Polars:
    """What there is of a frame of polars to be used."""

    columns = list(COLUMNS)

    def iter_rows(self) -> Any:
        return zip(*COLUMNS.values(), strict=True)


ROWS = [dict(zip(COLUMNS, row, strict=True)) for row in zip(*COLUMNS.values(), strict=True)]
FORMS = {
    "pandas": pd.DataFrame(COLUMNS),
    "pandas with its own missing values": pd.DataFrame(COLUMNS).convert_dtypes(),
    "pandas with an index": pd.DataFrame(COLUMNS, index=["x", "y", "z"]),
    "dicts": ROWS,
    "dicts in another order": [ROWS[0], dict(reversed(ROWS[1].items())), ROWS[2]],
    "polars": Polars(),
}


@pytest.mark.parametrize("name", FORMS)
def test_values_come_back(name: str, tmp_path: Path) -> None:
    suffix, content = rows_file(FORMS[name])
    assert suffix == ".csv"
    (tmp_path / "rows.csv").write_bytes(content)
    table = read_table(tmp_path / "rows.csv")
    schema = infer(table)
    assert [(x.name, x.datatype, x.nullable) for x in schema] == [
        ("age", "INT64", False),
        ("minutes", "FP64", True),
        ("plan", "BYTES", True),
        ("active", "BOOL", False),
    ]
    found = {spec.name: read_column(table, spec) for spec in schema}
    assert found == {**COLUMNS, "minutes": [0.1, 1e-300, None]}


def test_small_floats_keep_their_value() -> None:
    frame = pd.DataFrame({"x": np.array([0.1], dtype=np.float32)})
    assert csv_of(frame) == f"x\n{float(np.float32(0.1))!r}\n".encode()


def test_arrays(tmp_path: Path) -> None:
    array = np.arange(6.0).reshape(3, 2)
    suffix, content = rows_file(array)
    assert (suffix, np.load(io.BytesIO(content)).tolist()) == (".npy", array.tolist())
    array[0, 0] = np.nan
    assert json.loads(request_of(array)[0]) == {"inputs": [[None, 1.0], [2.0, 3.0], [4.0, 5.0]]}


def test_requests() -> None:
    body, kind = request_of({"instances": [{"a": np.float64(1.5), "b": float("nan")}], "n": np.arange(2)})
    assert kind == frames.JSON
    assert json.loads(body) == {"instances": [{"a": 1.5, "b": None}], "n": [0, 1]}
    assert request_of(ROWS[:1]) == (csv_of(ROWS[:1]), frames.CSV)


def test_of_very_many_rows_some_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "MOST_ROWS", 4)
    for rows in (pd.DataFrame({"x": range(10)}), [{"x": n} for n in range(10)]):
        assert rows_file(rows)[1] == b"x\n0\n3\n6\n9\n"
    assert np.load(io.BytesIO(rows_file(np.arange(10.0).reshape(10, 1))[1])).ravel().tolist() == [0, 3, 6, 9]


REFUSED = {
    "nothing": [],
    "numbers": [1, 2],
    "text": "rows",
    "a series": pd.Series([1, 2]),
    "an empty frame": pd.DataFrame({"x": []}),
    "a frame without columns": pd.DataFrame(index=[1]),
    "columns with two names": pd.DataFrame({("a", "b"): [1]}),
    "dicts that differ": [{"a": 1}, {"b": 1}],
    "one row of an array": np.arange(3.0),
    "texts in an array": np.array([["a"]]),
    "objects in an array": np.array([[None]], dtype=object),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_rows(name: str) -> None:
    with pytest.raises(UsageError) as told:
        rows_file(REFUSED[name])
    assert told.value.fix


def test_a_request_that_json_cannot_say() -> None:
    with pytest.raises(UsageError, match="cannot be written as JSON"):
        request_of({"instances": [object()]})
    with pytest.raises(UsageError, match="cannot be written as JSON"):
        request_of({"instances": [float("inf")]})
