"""Requests that share a run of the model: the same answers, in order, and one that fails fails alone."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest

from mlship_runtime.errors import SiteError
from mlship_runtime.serving.answer import KEEP
from mlship_runtime.serving.batching import Batching, BatchLine, predict_together, read_batching
from mlship_runtime.serving.limits import Limits

PATH = b"/v2/models/tiny/infer"


def columns(*rows, dtype=np.float32):
    return {"X": np.array(rows, dtype)}


class Model:
    """Doubles; `calls` are the numbers of rows that it was given. A 13 fails whatever it stands with."""

    def __init__(self, answer=None):
        self.calls = []
        self._answer = answer or (lambda x: {"y": x * 2})

    def __call__(self, given):
        self.calls.append(len(given["X"]))
        if (given["X"] == 13).any():
            raise ValueError("thirteen")
        return self._answer(given["X"])


class TestTogether:
    def test_each_gets_its_own_rows_in_order(self):
        model = Model()
        found = predict_together(model, [columns([1, 2]), columns([3, 4], [5, 6]), columns([7, 8])], 100)
        assert [part["y"].tolist() for part in found] == [[[2, 4]], [[6, 8], [10, 12]], [[14, 16]]]
        assert model.calls == [4]

    def test_no_more_rows_than_allowed_in_one_call(self):
        model = Model()
        found = predict_together(model, [columns([n, n]) for n in range(7)], 3)
        assert [part["y"][0, 0] for part in found] == [0, 2, 4, 6, 8, 10, 12]
        assert sorted(model.calls) == [1, 3, 3]

    def test_one_that_fails_fails_alone(self):
        model = Model()
        found = predict_together(model, [columns([1, 2]), columns([13, 0]), columns([3, 4])], 100)
        assert found[0]["y"].tolist() == [[2, 4]]
        assert isinstance(found[1], ValueError)
        assert found[2]["y"].tolist() == [[6, 8]]
        assert model.calls == [3, 1, 1, 1]

    def test_other_shapes_and_types_are_asked_apart(self):
        model = Model()
        many = [columns([1, 2]), columns([1, 2, 3]), columns([1, 2], dtype=np.float64), columns([3, 4])]
        found = predict_together(model, many, 100)
        assert [part["y"].tolist() for part in found] == [[[2, 4]], [[2, 4, 6]], [[2, 4]], [[6, 8]]]
        assert sorted(model.calls) == [1, 1, 2]

    def test_a_model_that_does_not_answer_row_by_row_is_asked_alone(self):
        model = Model(lambda x: {"y": np.array([x.sum()])})
        found = predict_together(model, [columns([1, 2]), columns([3, 4])], 100)
        assert [part["y"].tolist() for part in found] == [[3], [7]]

    def test_nothing_asked_nothing_answered(self):
        assert predict_together(Model(), [], 10) == []


def request(*rows, target=PATH):
    tensor = {
        "name": "X",
        "datatype": "FP32",
        "shape": [len(rows), 2],
        "data": [v for row in rows for v in row],
    }
    return b"POST", target, {}, json.dumps({"inputs": [tensor]}).encode()


class TestApplication:
    def test_the_answers_are_those_of_each_alone(self, matrix):
        requests = [
            request([1, 2]),
            request([1], [2]),
            request([3, 4], [5, 6]),
            (b"GET", b"/readyz", {}, b""),
        ]
        requests += [(b"POST", PATH, {}, b"{"), request([1, 2], target=b"/nowhere"), request([7, 8])]
        together = matrix.application.answer_many(requests)
        assert together == [matrix.application.answer(*asked) for asked in requests]
        assert [answer.status for answer in together] == [200, 400, 200, 200, 400, 404, 200]

    def test_each_is_counted(self, matrix):
        matrix.application.answer_many([request([1, 2]), request([1, 2]), (b"POST", PATH, {}, b"{")])
        text = matrix.application.answer(b"GET", b"/metrics", {}, b"").body.decode()
        counts = [line for line in text.splitlines() if line.startswith("mlship_requests_total{")]
        assert [line.partition('code="')[2] for line in counts] == ['200"} 2', '400"} 1']


class Waiter:
    def __init__(self, name, answered):
        self.name, self.gone, self._answered = name, False, answered

    def answered(self, answer, request):
        self._answered.append((self.name, answer))

    def flush(self):
        pass


class Counting:
    """`batches` are how many were asked together."""

    def __init__(self):
        self.batches = []

    def answer_many(self, requests):
        self.batches.append(len(requests))
        return [body for _, _, _, body in requests]

    def answer(self, *request):
        raise AssertionError("nothing is asked alone")

    def refuse(self, status, message):
        return status


class TestLine:
    def run(self, rows, names, gone=(), wait=0.05):
        """What came out, and in which batches, when all of `names` come in one turn."""
        answered, application = [], Counting()

        async def come():
            line = BatchLine(application, Limits(), Batching(wait, rows))
            for name in names:
                waiter = Waiter(name, answered)
                assert line.add(waiter, (b"POST", PATH, {}, name.encode(), KEEP))
                waiter.gone = name in gone
            assert not answered
            for _ in range(1000):
                if len(answered) == len(names) - len(gone):
                    break
                await asyncio.sleep(0.01)
            await asyncio.sleep(2 * wait)  # nothing comes twice
            assert line.held == 0

        asyncio.run(asyncio.wait_for(come(), 20))
        return answered, application.batches

    def test_what_comes_together_is_asked_together(self):
        answered, batches = self.run(8, "abc")
        assert answered == [("a", b"a"), ("b", b"b"), ("c", b"c")]
        assert batches == [3]

    def test_a_full_batch_does_not_wait(self):
        answered, batches = self.run(2, "abcde", wait=0.5)
        assert [name for name, _ in answered] == list("abcde")
        assert batches == [2, 2, 1]

    def test_whoever_is_gone_is_left_out(self):
        answered, batches = self.run(8, "abc", gone="b")
        assert [name for name, _ in answered] == ["a", "c"]
        assert batches == [2]


@pytest.mark.parametrize(
    "settings", [{"wait": 0, "rows": 2}, {"wait": 2, "rows": 2}, {"wait": 0.1, "rows": 1}]
)
def test_settings_that_cannot_be_kept(settings):
    with pytest.raises(SiteError):
        read_batching(settings)


def test_without_settings_nothing_waits():
    assert read_batching({}) is None
    assert read_batching({"wait": 0.002, "rows": 32}) == Batching(0.002, 32)
