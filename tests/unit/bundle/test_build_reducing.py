"""A reduction step on the examples: each way in which it can be wrong is refused, with the row."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from mlship.bundle.children.failure import Failure
from mlship.bundle.children.reducing import Reduction, run

ROWS = 20
_counter = itertools.count()


def reduced(step):
    columns = {"a": np.arange(ROWS, dtype=float), "t": np.array([f"r{row}" for row in range(ROWS)], object)}
    return run(Reduction(step, Path(), set(), "step"), columns)


def test_arrays_come_back_plain() -> None:
    found = reduced(lambda c: {"X": np.stack([c["a"], c["a"]], 1).astype(">f4"), "t": c["t"].astype("U")})
    assert found["X"].dtype == np.dtype("<f4")
    assert found["t"].dtype == object


def test_nan_is_a_value_like_others() -> None:
    assert np.isnan(reduced(lambda c: {"X": np.where(c["a"] > 3, np.nan, 1.0)})["X"]).any()


def test_a_step_may_change_what_it_is_given() -> None:
    def step(columns):
        columns["a"] += 1
        return {"X": columns["a"]}

    assert reduced(step)["X"][0] == 1


def test_the_row_that_makes_it_raise_is_found() -> None:
    def step(columns):
        if (columns["a"] == 13).any():
            raise ValueError("thirteen\nis unlucky")
        return {"X": columns["a"]}

    with pytest.raises(Failure, match="raised on row 13 of the examples") as caught:
        reduced(step)
    assert caught.value.cause == "ValueError: thirteen is unlucky"
    assert caught.value.fix == "That row has a=13.0, t=r13"


def test_rows_that_only_fail_together_are_named_together() -> None:
    def step(columns):
        if len(columns["a"]) > 5:
            raise ValueError("too many")
        return {"X": columns["a"]}

    with pytest.raises(Failure, match="raised on rows 0 to 9 of the examples together"):
        reduced(step)


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (lambda c: None, "returned NoneType, not arrays by name"),
        (lambda c: c["a"], "returned ndarray, not arrays by name"),
        (lambda c: {}, "returned dict, not arrays by name"),
        (lambda c: {"X": c["a"].tolist()}, "returned list as 'X'"),
        (lambda c: {"X": c["a"][:-1]}, "returned 'X' of shape [19] for 20 rows"),
        (lambda c: {"X": c["a"].reshape(1, -1)}, "returned 'X' of shape [1, 20] for 20 rows"),
        (lambda c: {"X": np.array(1.0)}, "returned 'X' of shape [] for 20 rows"),
        (lambda c: {"X": c["a"].astype("datetime64[s]")}, "returned 'X' of type datetime64[s]"),
        (lambda c: {"X": np.array([*range(19), "x"], object)}, "returned int in 'X', row 0"),
        (lambda c: {"X": np.where(c["a"] == 7, np.inf, c["a"])}, "infinite 'X' for row 7"),
    ],
)
def test_a_wrong_result_is_named_with_its_shape(step, said: str) -> None:
    with pytest.raises(Failure) as caught:
        reduced(step)
    assert said in caught.value.what


def flaky(row: int):
    def step(columns):
        noise = np.zeros(ROWS)
        noise[row] = next(_counter)
        return {"X": columns["a"] + noise}

    return step


def test_a_step_that_does_not_repeat_itself_is_refused_with_the_row() -> None:
    with pytest.raises(Failure, match="not deterministic: 'X' differs between two runs in row 4"):
        reduced(flaky(4))


def test_a_step_that_changes_its_form_is_refused() -> None:
    forms = itertools.cycle([np.float32, np.float64])
    with pytest.raises(Failure, match="not deterministic"):
        reduced(lambda c: {"X": c["a"].astype(next(forms))})
    names = itertools.count()
    with pytest.raises(Failure, match="not deterministic"):
        reduced(lambda c: {f"X{next(names)}": c["a"]})


def test_a_step_that_looks_at_the_other_rows_is_refused() -> None:
    with pytest.raises(Failure, match="another 'X' for row 0 alone than among all rows"):
        reduced(lambda c: {"X": c["a"] - c["a"].mean()})
    with pytest.raises(Failure, match="another 'X' for row 0 alone"):
        reduced(lambda c: {"X": np.eye(len(c["a"]))})


def test_texts_are_compared_as_texts() -> None:
    words = itertools.cycle(["x", "y"])
    with pytest.raises(Failure, match="in row 0"):
        reduced(lambda c: {"t": np.array([next(words), *["z"] * 18, "q"], object)})


@pytest.mark.parametrize("alone", [False, True])
def test_a_step_that_exits_is_named(alone: bool) -> None:
    def step(columns):
        if not alone or len(columns["a"]) == 1:
            raise SystemExit(3)
        return {"X": columns["a"]}

    with pytest.raises(Failure, match=r"^the reduction step ended the process \(SystemExit 3\)$"):
        reduced(step)
