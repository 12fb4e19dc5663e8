"""Answers in MLflow's form: one entry per row, whatever integer type an output has."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mlship_runtime.serving import invocations


@pytest.mark.parametrize("kind", [np.int64, np.longlong, np.int8, np.uint16, np.bool_])
def test_every_integer_kind_beside_another_output(kind: type) -> None:
    answer = invocations.write(
        {"label": np.array([1, 0], kind), "p": np.array([[0.5, np.nan], [1, 0]], "f4")}
    )
    assert json.loads(answer.body)["predictions"] == [
        {"label": 1, "p": [0.5, None]},
        {"label": 0, "p": [1.0, 0.0]},
    ]


def test_a_single_output_stands_for_itself() -> None:
    answer = invocations.write({"label": np.array([1, 0], np.longlong)})
    assert json.loads(answer.body) == {"predictions": [1, 0]}
