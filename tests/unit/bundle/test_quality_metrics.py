"""The metrics say what scikit-learn says of the same answers: ties, missing classes, many classes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from mlship.bundle.quality.metrics import METRICS, Answered, Undefined, measure

CLASSES = ["a", "b", "c", "d"]
classes = st.integers(2, 4)


def undefined(call: Callable[[], Any]) -> bool:
    try:
        call()
    except Undefined:
        return True
    return False


@st.composite
def decided(draw: st.DrawFn) -> Answered:
    known = CLASSES[: draw(classes)]
    rows = draw(st.lists(st.tuples(st.sampled_from(known), st.sampled_from(known)), min_size=1, max_size=40))
    positive = draw(st.sampled_from(["", *known]))
    return Answered([truth for truth, _ in rows], [given for _, given in rows], known, positive)


@st.composite
def rated(draw: st.DrawFn) -> Answered:
    """With few different ratings, so that there are ties."""
    known = CLASSES[: draw(classes)]
    weights = st.lists(st.integers(0, 3), min_size=len(known), max_size=len(known)).filter(any)
    rows = draw(st.lists(st.tuples(st.sampled_from(known), weights), min_size=1, max_size=40))
    ratings = [[weight / sum(row) for weight in row] for _, row in rows]
    return Answered([truth for truth, _ in rows], ratings, known)


@st.composite
def numbers(draw: st.DrawFn) -> Answered:
    number = st.floats(-1e6, 1e6, allow_subnormal=False).map(lambda value: round(value, 3))
    rows = draw(st.lists(st.tuples(number, number), min_size=2, max_size=40))
    return Answered([truth for truth, _ in rows], [given for _, given in rows])


@settings(max_examples=40)
@given(decided())
@pytest.mark.filterwarnings("ignore")
def test_decisions(answered: Answered) -> None:
    truth, said = answered.truth, answered.given
    assert measure("accuracy", answered) == pytest.approx(sk.accuracy_score(truth, said))
    options: dict[str, Any] = {"average": "macro", "zero_division": 0}
    if answered.positive:
        options["labels"] = [answered.positive]
    for name, theirs in (("precision", sk.precision_score), ("recall", sk.recall_score), ("f1", sk.f1_score)):
        assert measure(name, answered) == pytest.approx(theirs(truth, said, **options)), name
    if not answered.positive:
        balanced = sk.balanced_accuracy_score(truth, said)
        assert measure("balanced_accuracy", answered) == pytest.approx(balanced)


@settings(max_examples=40)
@given(rated())
def test_ranking_with_ties(answered: Answered) -> None:
    ratings = np.array(answered.given)
    there = set(answered.truth)
    if there != set(answered.classes):
        assert undefined(lambda: measure("roc_auc", answered))
        return
    if len(answered.classes) == 2:
        theirs = sk.roc_auc_score(answered.truth, ratings[:, 1])
    else:
        theirs = sk.roc_auc_score(answered.truth, ratings, multi_class="ovr", average="macro")
    assert measure("roc_auc", answered) == pytest.approx(theirs)


@settings(max_examples=40)
@given(rated())
def test_log_loss_with_classes_that_no_row_has(answered: Answered) -> None:
    for datatype, kind in (("FP64", np.float64), ("FP32", np.float32)):
        ratings = np.array(answered.given, kind)
        own = Answered(answered.truth, ratings.tolist(), answered.classes, datatype=datatype)
        theirs = sk.log_loss(answered.truth, y_proba=ratings, labels=answered.classes)
        assert measure("log_loss", own) == pytest.approx(theirs, rel=1e-4 if kind is np.float32 else 1e-9)


@settings(max_examples=40)
@given(numbers())
def test_numbers(answered: Answered) -> None:
    truth, said = answered.truth, answered.given
    assert measure("mae", answered) == pytest.approx(sk.mean_absolute_error(truth, said))
    assert measure("rmse", answered) == pytest.approx(sk.root_mean_squared_error(truth, said))
    assume(len(set(truth)) == 1 or np.std(truth) > 1e-3)
    assert measure("r2", answered) == pytest.approx(sk.r2_score(truth, said), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(
    ("truth", "said", "value"), [([2, 2], [2, 2], 1.0), ([2, 2], [2, 3], 0.0), ([1, 3], [2, 2], 0.0)]
)
def test_r2_of_a_constant(truth: list[float], said: list[float], value: float) -> None:
    with warnings.catch_warnings():
        assert measure("r2", Answered(truth, said)) == value == sk.r2_score(truth, said)


@pytest.mark.parametrize(
    ("metric", "answered"),
    [
        ("roc_auc", Answered(["a", "a"], [[0.5, 0.5], [0.1, 0.9]], ["a", "b"])),
        ("roc_auc", Answered(["a", "b"], [[0.2, 0.5, 0.3], [0.1, 0.8, 0.1]], ["a", "b", "c"])),
        ("log_loss", Answered(["a"], [[1.5, -0.5]], ["a", "b"])),
        ("r2", Answered([1.0], [1.0])),
        ("rmse", Answered([1e300], [-1e300])),
        ("mae", Answered([1.7e308], [-1.7e308])),
    ],
)
def test_what_has_no_value_is_said_to_have_none(metric: str, answered: Answered) -> None:
    assert undefined(lambda: measure(metric, answered))


def test_the_table_says_which_way_is_better() -> None:
    smaller = {name for name, metric in METRICS.items() if not metric.larger_is_better}
    assert smaller == {"log_loss", "rmse", "mae"}
