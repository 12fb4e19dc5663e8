"""What the model reads: whom a message blames when it is not what the model was trained on."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from mlship.bundle.children.failure import Failure
from mlship.bundle.children.features import Features


def features(reduced: bool, **columns) -> Features:
    return Features({name: np.asarray(values) for name, values in columns.items()}, None, reduced=reduced)


def test_a_reduction_of_the_wrong_width_is_named() -> None:
    given = features(True, X=np.zeros((100, 9)))
    with pytest.raises(Failure) as caught:
        given.ordered(SimpleNamespace(n_features_in_=10))
    assert caught.value.what == "the reduction returned 'X' of shape [100, 9], the model reads 10 features"
    assert caught.value.fix.startswith("Correct the reduction")


def test_examples_of_the_wrong_width_are_named() -> None:
    with pytest.raises(Failure, match="the model reads 10 features, the examples give 2") as caught:
        features(False, a=[1.0], b=[2.0]).ordered(SimpleNamespace(n_features_in_=10))
    assert "[golden] columns" in caught.value.fix


def test_a_reduction_with_other_names_is_named() -> None:
    with pytest.raises(Failure, match="the reduction returned a, b") as caught:
        features(True, a=[1.0], b=[2.0]).ordered(SimpleNamespace(feature_names_in_=["a", "c"]))
    assert caught.value.cause == "the model reads a, c"


def test_a_missing_value_of_the_reduction_is_named_with_its_row() -> None:
    given = features(True, t=np.array(["x", "y"], object), a=[1.0, 2.0], X=[[1.0, 2.0], [3.0, np.nan]])
    failure = given.not_answered("ValueError: Input X contains NaN.", "")
    assert failure.what == "the reduction returned NaN in 'X' for row 1 of the examples"


@pytest.mark.parametrize(("reduced", "cause"), [(False, "Input X contains NaN."), (True, "KeyError: 'kilo'")])
def test_other_reasons_stay_with_the_examples(reduced: bool, cause: str) -> None:
    failure = features(reduced, X=[np.nan]).not_answered(cause, "")
    assert failure.what == "the model cannot answer the examples"
