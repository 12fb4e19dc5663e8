"""Answers as CSV and JSON lines: what a reader gets back is what was written, to the last bit."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scoring import tensor

from mlship_runtime.errors import BadInput
from mlship_runtime.model.datatypes import NUMPY_TYPES
from mlship_runtime.scoring.layout import check_outputs
from mlship_runtime.scoring.writing import CsvWriter, JsonWriter

TYPES = [name for name in NUMPY_TYPES if name != "BYTES"]
NAN = float("nan")


def csv_rows(data: bytes, delimiter: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode(), newline=""), delimiter=delimiter, strict=True))


def back(text: str, dtype: np.dtype[Any]) -> Any:
    if dtype.kind == "b":
        return {"true": True, "false": False}[text]
    if dtype.kind in "iu":
        return dtype.type(int(text))
    return dtype.type(float(text) if text else NAN)


@given(
    datatype=st.sampled_from(TYPES),
    width=st.integers(0, 3),
    delimiter=st.sampled_from(",;\t"),
    data=st.data(),
)
def test_numbers_come_back(datatype: str, width: int, delimiter: str, data: st.DataObject) -> None:
    sizes = (width,) if width else ()
    dtype = NUMPY_TYPES[datatype]
    array = data.draw(hnp.arrays(dtype, (3, *sizes)))
    spec = tensor("y", datatype, *sizes)
    rows = csv_rows(CsvWriter([spec], delimiter).rows([], {"y": array}), delimiter)
    found = np.array([[back(cell, dtype) for cell in row] for row in rows], dtype).reshape(array.shape)
    np.testing.assert_array_equal(found, array)
    if dtype.kind == "f":
        known = ~np.isnan(array)
        assert (np.signbit(found[known]) == np.signbit(array[known])).all()
    lines = JsonWriter([spec], []).rows([], {"y": array}).decode().splitlines()
    values = np.array([json.loads(line)["y"] for line in lines], object).reshape(array.shape)
    finite = np.isfinite(array)
    assert (values[finite].astype(dtype) == array[finite]).all()
    assert all(value is None for value in values[~finite])


def test_a_row_of_one_empty_field_is_a_row() -> None:
    nothing = np.array([NAN, 1.5], np.float32)
    assert CsvWriter([tensor("y", "FP32")], ",").rows([], {"y": nothing}) == b'""\n1.5\n'


@given(
    cells=st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=4),
    delimiter=st.sampled_from(",;\t"),
)
def test_texts_come_back(cells: list[str], delimiter: str) -> None:
    label = tensor("label", "BYTES")
    array = np.empty(len(cells), object)
    array[:] = cells
    data = CsvWriter([label], delimiter).rows([cells], {"label": array})
    assert csv_rows(data, delimiter) == [[cell, cell] for cell in cells]
    lines = JsonWriter([label], ["id"]).rows([cells], {"label": array}).split(b"\n")
    assert [json.loads(line) for line in lines if line] == [{"id": cell, "label": cell} for cell in cells]


def test_what_is_no_number() -> None:
    array = np.array([[1.5, NAN], [np.inf, -np.inf]], np.float32)
    assert CsvWriter([tensor("y", "FP32", 2)], ",").rows([], {"y": array}) == b"1.5,\ninf,-inf\n"
    assert JsonWriter([tensor("y", "FP32", 2)], []).rows([], {"y": array}) == (
        b'{"y":[1.5,null]}\n{"y":[null,null]}\n'
    )


def test_values_that_are_kept_keep_their_types() -> None:
    kept = [[1, None, True, 2.5, {"a": [1]}]]
    label = {"y": np.arange(5)}
    lines = JsonWriter([tensor("y", "INT64")], ["100 %"]).rows(kept, label).decode().splitlines()
    assert [json.loads(line)["100 %"] for line in lines] == kept[0]
    rows = csv_rows(CsvWriter([tensor("y", "INT64")], ",").rows(kept, label), ",")
    assert [row[0] for row in rows] == ["1", "", "true", "2.5", '{"a":[1]}']


def test_columns_of_the_output() -> None:
    outputs = [tensor("label", "INT64", 1), tensor("p", "FP32", 2), tensor("m", "FP32", 1, 2)]
    names = ["id", "label", "p_0", "p_1", "m_0_0", "m_0_1"]
    assert check_outputs(outputs, ["id"], True) == names
    assert check_outputs(outputs, ["id"], False) == ["id", "label", "p", "m"]
    with pytest.raises(BadInput, match="label would stand twice in the output"):
        check_outputs(outputs, ["label"], True)
    with pytest.raises(BadInput, match="p has no fixed number of columns"):
        check_outputs([tensor("p", "FP32", -1)], [], True)
