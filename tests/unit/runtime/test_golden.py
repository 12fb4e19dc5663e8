"""The golden comparison: what counts as the same answer."""

from __future__ import annotations

import pytest

from mlship_runtime.golden import compare, rows_of

TOLERANCE = {"p": {"abs": 1e-6, "rel": 1e-3}}


def floats(*data, shape=None, name="p"):
    return {"name": name, "datatype": "FP32", "shape": shape or [len(data)], "data": list(data)}


def labels(*data):
    return {"name": "label", "datatype": "INT64", "shape": [len(data)], "data": list(data)}


def test_equal_answers():
    outputs = [labels(1, 0), floats(0.25, None)]
    result = compare(outputs, outputs, TOLERANCE)
    assert (result.equal, result.rows, result.max_abs, result.max_rel) == (True, 2, 0.0, 0.0)


def test_floats_may_differ_within_the_tolerance():
    result = compare([floats(2.0, 1e-7)], [floats(2.001, 0.0)], TOLERANCE)
    assert result.equal
    assert result.max_abs == pytest.approx(0.001)
    assert result.max_rel == 1.0


def test_a_float_beyond_the_tolerance_is_named_with_its_row():
    result = compare(
        [floats(1.0, 2.0, 3.0, 4.0, shape=[2, 2])], [floats(1.0, 2.0, 3.5, 4.0, shape=[2, 2])], TOLERANCE
    )
    (difference,) = result.differences
    assert str(difference) == "row 1, p: expected 3.0, got 3.5"
    assert result.max_abs == 0.5


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ([floats(1.0, name="other")], [floats(1.0000001, name="other")]),
        ([floats(1.0)], [floats(None)]),
        ([floats(None)], [floats(1.0)]),
        ([labels(1)], [labels(2)]),
        ([floats(1.0)], [floats(float("nan"))]),
        ([floats(float("inf"))], [floats(1.0)]),
        ([floats(1.0)], [floats(True)]),
    ],
)
def test_values_that_are_not_the_same(expected, actual):
    result = compare(expected, actual, TOLERANCE)
    assert [difference.row for difference in result.differences] == [0]


@pytest.mark.parametrize(
    "actual",
    [
        [],
        [labels(1)],
        [floats(1.0, 2.0)],
        [floats(1.0), labels(1)],
        [{**floats(1.0), "datatype": "FP64"}],
        [{**floats(1.0), "data": []}],
    ],
)
def test_outputs_of_another_kind(actual):
    result = compare([floats(1.0)], actual, TOLERANCE)
    assert not result.equal
    assert {difference.row for difference in result.differences} == {None}


def test_rows_of_cuts_inputs_and_outputs():
    golden = {
        "schemaVersion": 1,
        "inputs": [floats(1, 2, 3, 4, 5, 6, shape=[3, 2])],
        "outputs": [labels(7, 8, 9)],
    }
    cut = rows_of(golden, 1, 9)
    assert cut["schemaVersion"] == 1
    assert cut["inputs"] == [floats(3, 4, 5, 6, shape=[2, 2])]
    assert cut["outputs"] == [labels(8, 9)]
    assert rows_of(golden, 2, 1)["outputs"] == [labels()]
