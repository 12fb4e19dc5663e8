"""One row as one tensor is answered by a shorter way, with the same answer."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlship_runtime.model.pipeline import Pipeline
from mlship_runtime.serving import one_row
from mlship_runtime.serving.application import Application

PATH = b"/v2/models/tiny/infer"


def infer(application, **changed):
    tensor = {"name": "X", "datatype": "FP32", "shape": [1, 2], "data": [1.5, -2]}
    asked = {"inputs": [{**tensor, **changed.pop("tensor", {})}], **changed}
    return application.answer(b"POST", PATH, {}, json.dumps(asked).encode())


@pytest.fixture
def general(matrix, monkeypatch):
    """The answer by the way of all requests."""

    def answer(**changed):
        with monkeypatch.context() as patch:
            patch.setattr(matrix.application, "_one_row", None)
            return infer(matrix.application, **changed)

    return answer


@pytest.fixture
def shortened(matrix):
    """How often the shorter way has answered."""
    given = []
    way = matrix.application._one_row

    def counting(body):
        given.append(way(body))
        return given[-1]

    matrix.application._one_row = counting
    return given


NUMBERS = st.floats(width=32, allow_nan=False, allow_infinity=False) | st.integers(-(2**24), 2**24)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.lists(NUMBERS, min_size=2, max_size=2))
def test_the_answer_is_that_of_all_requests(matrix, general, data):
    assert matrix.application._one_row is not None
    assert infer(matrix.application, tensor={"data": data}) == general(tensor={"data": data})


@pytest.mark.parametrize(
    "changed",
    [
        {"id": "7"},
        {"outputs": [{"name": "sum"}]},
        {"parameters": {"binary_data_output": False}},
        {"tensor": {"shape": [2, 2], "data": [1, 2, 3, 4]}},
        {"tensor": {"shape": [2, 1]}},
        {"tensor": {"data": [1]}},
        {"tensor": {"data": [[1, 2]]}},
        {"tensor": {"data": [1, 1e39]}},
        {"tensor": {"data": [1, None]}},
        {"tensor": {"name": "Y"}},
        {"tensor": {"datatype": "FP64"}},
        {"more": [[[[]]]] * 99},
    ],
    ids=str,
)
def test_what_is_not_such_a_request_goes_the_general_way(matrix, general, shortened, changed):
    assert infer(matrix.application, **changed) == general(**changed)
    assert shortened == [None]


def test_one_answer_does_not_change_with_the_next(matrix, shortened):
    first = infer(matrix.application)
    before = bytes(first.body)
    infer(matrix.application, tensor={"data": [9, 9]})
    assert (first.body, None in shortened) == (before, False)


def test_models_of_another_kind_have_no_shorter_way(table):
    assert table.application._one_row is None


def test_a_way_that_answers_otherwise_is_given_up(matrix):
    pipeline = matrix.application._pipeline
    columns = {"X": np.array([[1, 2], [3, 4]], np.float32)}
    pipeline.check_row(columns)
    assert pipeline.row() is not None
    pipeline.row().load = lambda values: None
    pipeline.check_row(columns)
    assert pipeline.row() is None


FORMS = {
    "compact": '{{"inputs":[{{"name":"X","datatype":"FP32","shape":[1,2],"data":{}}}]}}',
    "spaces": '{{ "inputs": [ {{"datatype": "FP32", "name": "X", "shape": [1, 2], "data": {} }} ] }}\n',
    "shape last": '{{"inputs":[{{"name":"X","datatype":"FP32","data":{},"shape":[1,2]}}]}}',
    "another data": '{{"inputs":[{{"name":"X","datatype":"FP32","shape":[1,2],"data":{0}}}],"x":[{{"data":{0}}}]}}',  # noqa: E501
    "data twice": '{{"inputs":[{{"name":"X","datatype":"FP32","shape":[1,2],"data":[5,6],"data":{}}}]}}',
    "escaped": '{{"inputs":[{{"name":"X","datatype":"FP32","shape":[1,2],"data":{},"d\\u0061ta":[7,8]}}]}}',
    "in a text": '{{"inputs":[{{"name":"X","datatype":"FP32","shape":[1,2],"data":{},"x":"[1]}}]}}"}}]}}',
}
DATA = [
    "[1,2]",
    "[1, 2.5]",
    "[3,4]",
    "[1]",
    "[1,2,3]",
    "[]",
    "[1,[2]]",
    '[1,"2"]',
    "[1,null]",
    "[1,2",
    "1,2]",
    "[1e39,0]",
]
DATA += ["[1,2],[3,4]", '[1,2],"data":[3,4]', "[1,2]}],[{", "[NaN,1]", "[1,true]", "null", "[ 1\n,\t2 ]"]


@pytest.fixture
def every_body_is_looked_at(monkeypatch):
    monkeypatch.setattr(one_row, "_PATIENCE", 1)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(asked=st.lists(st.tuples(st.sampled_from(sorted(FORMS)), st.sampled_from(DATA)), max_size=8))
def test_what_stood_around_other_numbers_does_not_change_an_answer(make_tree, every_body_is_looked_at, asked):
    quick, thorough = _applications(make_tree)
    for form, data in [("compact", "[1,2]"), *asked, *asked]:
        body = FORMS[form].format(data).encode()
        answers = [application.answer(b"POST", PATH, {}, body) for application in (quick, thorough)]
        assert answers[0] == answers[1], body


_MADE = []


def _applications(make_tree):
    """One with the shorter way, which looks at each body for what stands around, and one without."""
    if not _MADE:
        pipeline = Pipeline(make_tree())
        _MADE.extend(Application(pipeline) for _ in range(2))
        _MADE[1]._one_row = None
    return _MADE


def test_a_body_that_is_too_long_for_one_row_is_read_once(matrix, shortened):
    """What is not one row is not decoded to find that out."""
    body = json.dumps({"inputs": [{"name": "X", "datatype": "FP32", "shape": [1, 2], "data": [1.5, -2]}]})
    padded = body.encode() + b" " * 4000
    answer = matrix.application.answer(b"POST", PATH, {}, padded)
    assert shortened == [None]
    assert answer == matrix.application.answer(b"POST", PATH, {}, body.encode())
    assert shortened[1] is not None
