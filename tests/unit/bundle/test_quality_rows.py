"""Held-out rows in arrays, and what is made of a bundle's answers to them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlship.bundle.quality import answers
from mlship.bundle.quality.answers import answers_to
from mlship.bundle.quality.asked import asked_of
from mlship.bundle.quality.held_out import HeldOut, files_digests, read_held_out
from mlship.bundle.quality.metrics import Answered, measure
from mlship.config import Project, parse_project
from mlship.errors import BundleError, ConfigError
from mlship_runtime.bundle.spec import Spec, TensorSpec

TOML = """[project]
name = "churn"
[model]
source = "m"
[quality]
rows = "X.npy"
answers = "y.npy"
metric = "{metric}"
min = 0
"""
LABEL = TensorSpec("label", "INT64", (-1,), False)
RATED = TensorSpec("probabilities", "FP32", (-1, 3), False, ("0", "1", "2"))
NUMBER = TensorSpec("score", "FP32", (-1, 1), False)


class Outline:
    """As much of a Spec as is asked for."""

    name, version = "churn", "1.0"

    def __init__(self, *outputs: TensorSpec, inputs: Sequence[TensorSpec] = ()) -> None:
        self.inputs = tuple(inputs) or (TensorSpec("X", "FP32", (-1, 2), True),)
        self.outputs = outputs


def project(folder: Path, metric: str, more: str = "") -> Project:
    return parse_project(TOML.format(metric=metric) + more, root=folder)


def held(folder: Path, metric: str, spec: Any, rows: Any, truth: Any, more: str = "") -> HeldOut:
    for name, array in (("X.npy", rows), ("y.npy", truth)):
        np.save(folder / name, np.asarray(array))
    its = project(folder, metric, more)
    return read_held_out(its, spec, asked_of(its, spec))


ROWS = [[1.0, 2.0], [3.0, np.nan], [5.0, 6.0]]


@pytest.mark.parametrize("truth", [[0, 2, 1], [0.0, 2.0, 1.0], [[0], [2], [1]]])
def test_classes_of_an_array(tmp_path: Path, truth: Any) -> None:
    found = held(tmp_path, "accuracy", Outline(LABEL, RATED), ROWS, truth)
    assert (found.truth, found.rows) == (("0", "2", "1"), 3)
    (tensor,) = found.tensors
    assert (tensor["datatype"], tensor["shape"]) == ("FP32", [3, 2])
    assert tensor["data"] == [1.0, 2.0, 3.0, None, 5.0, 6.0]


def test_truth_values_and_numbers_of_an_array(tmp_path: Path) -> None:
    yes = TensorSpec("label", "BOOL", (-1,), False)
    assert held(tmp_path, "accuracy", Outline(yes), ROWS, [1, 0, 1]).truth == ("True", "False", "True")
    assert held(tmp_path, "mae", Outline(NUMBER), ROWS, [1, 0, 3]).truth == (1.0, 0.0, 3.0)


@pytest.mark.parametrize(
    ("rows", "truth", "why"),
    [
        (ROWS, [0, 1], "has 3 rows, and y.npy 2 answers"),
        (ROWS, [0, 1, np.nan], "y.npy has no answer in row 2"),
        (ROWS, [0, 1, 0.5], "y.npy holds 0.5, which is no class"),
        (ROWS, [0, 1, 3], "has '3' in row 2 (from 0), which is no class of the bundle's: they are 0, 1, 2"),
        (ROWS, [[0, 1], [1, 1], [2, 1]], "there is one answer for each row"),
        ([[1.0], [2.0]], [0, 1], "X.npy has the shape [2, 1]: the bundle's input X has [-1, 2]"),
        (np.zeros((0, 2)), np.zeros(0), "X.npy has the shape [0, 2]"),
        ([["a", "b"]], [0], "Save numbers"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path: Path, rows: Any, truth: Any, why: str) -> None:
    with pytest.raises(ConfigError) as refused:
        held(tmp_path, "accuracy", Outline(LABEL, RATED), rows, truth)
    assert str(refused.value).startswith("mlship.toml:")
    assert why in str(refused.value) or "holds values of type" in str(refused.value)


def test_an_array_needs_its_answers(tmp_path: Path) -> None:
    np.save(tmp_path / "X.npy", np.asarray(ROWS))
    its, spec = project(tmp_path, "accuracy"), Outline(LABEL, RATED)
    with pytest.raises(ConfigError, match=r"names 'y\.npy', which is not a \.npy file"):
        read_held_out(its, spec, asked_of(its, spec))  # type: ignore[arg-type]
    assert files_digests(its) is None
    two = Outline(LABEL, RATED, inputs=[TensorSpec("a", "FP64", (-1,), False)] * 2)
    np.save(tmp_path / "y.npy", np.zeros(3))
    with pytest.raises(ConfigError, match="is one tensor, and the bundle has 2 inputs"):
        read_held_out(its, two, asked_of(its, two))  # type: ignore[arg-type]
    assert files_digests(its) is not None


@pytest.mark.parametrize(
    ("metric", "more", "outputs", "why"),
    [
        ("rmse", "", [LABEL, RATED], "rmse reads numbers"),
        ("accuracy", "", [NUMBER], "accuracy reads decisions"),
        ("roc_auc", "", [NUMBER], "roc_auc reads probabilities"),
        ("mae", "", [NUMBER, TensorSpec("other", "FP64", (-1,), False)], "could be of score, other"),
        ("log_loss", 'output = "score"\n', [NUMBER], "rates one class"),
        ("accuracy", 'output = "score"\n', [NUMBER, LABEL], "accuracy reads decisions"),
    ],
)
def test_a_metric_fits_the_outputs_or_is_refused(
    tmp_path: Path, metric: str, more: str, outputs: list[TensorSpec], why: str
) -> None:
    with pytest.raises(ConfigError, match=why):
        asked_of(project(tmp_path, metric, more), Outline(*outputs))  # type: ignore[arg-type]


def answered(
    tmp_path: Path,
    metric: str,
    spec: Spec | Outline,
    truth: Any,
    outputs: dict[str, list[Any]],
    more: str = "",
) -> Answered:
    its = project(tmp_path, metric, more)
    asked = asked_of(its, spec)  # type: ignore[arg-type]
    rows = HeldOut(({"name": "X", "datatype": "FP32", "shape": [3, 2], "data": list(range(6))},), truth)

    def ask(batch: Sequence[Any]) -> list[dict[str, Any]]:
        first, count = batch[0]["data"][0] // 2, batch[0]["shape"][0]
        given = []
        for name, values in outputs.items():
            width = len(values) // 3
            data = values[first * width : (first + count) * width]
            given.append({"name": name, "datatype": "", "shape": [count, width], "data": data})
        return given

    return answers_to(rows, asked, ask, "churn:1.0")


PAIRS = [0.7, 0.2, 0.1, 0.1, 0.1, 0.8, 0.3, 0.4, 0.3]


@pytest.mark.parametrize("at_once", [1, 4, 100])
def test_decisions_are_the_label_or_the_most_probable(
    tmp_path: Path, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "VALUES_AT_ONCE", at_once)
    truth = ("0", "2", "1")
    both = {"label": [0, 2, 2], "probabilities": PAIRS}
    assert answered(tmp_path, "accuracy", Outline(LABEL, RATED), truth, both).given == ["0", "2", "2"]
    assert answered(tmp_path, "accuracy", Outline(RATED), truth, both).given == ["0", "2", "1"]
    rated = answered(tmp_path, "log_loss", Outline(RATED), truth, both)
    assert rated.given == [PAIRS[:3], PAIRS[3:6], PAIRS[6:]]


def test_columns_without_names_are_numbered_where_that_is_said(tmp_path: Path) -> None:
    plain = TensorSpec("out", "FP32", (-1, 3), False)
    found = answered(tmp_path, "roc_auc", Outline(plain), ("0", "2", "1"), {"out": PAIRS}, 'output = "out"\n')
    assert (found.classes, measure("roc_auc", found)) == (("0", "1", "2"), 1.0)


def test_one_number_rates_its_class_against_the_rest(tmp_path: Path) -> None:
    more = 'output = "score"\npositive = "gone"\n'
    score = {"score": [0.9, 0.2, 0.25]}
    found = answered(tmp_path, "log_loss", Outline(NUMBER), ("gone", "here", "there"), score, more)
    assert found.given == [[1 - value, value] for value in score["score"]]
    assert measure("log_loss", found) == pytest.approx(-np.log([0.9, 0.8, 0.75]).mean())


@pytest.mark.parametrize(
    ("outputs", "why"),
    [
        ({"label": [0, None, 1]}, r"answers label = NaN \(or infinity\) for the held-out row 1"),
        ({"other": [0, 1, 1]}, "does not answer label for each row"),
    ],
)
def test_answers_that_are_none_are_the_bundles_fault(
    tmp_path: Path, outputs: dict[str, list[Any]], why: str
) -> None:
    with pytest.raises(BundleError, match=why):
        answered(tmp_path, "accuracy", Outline(LABEL), ("0", "1", "1"), outputs)
