"""Metrics of answers to held-out rows, as data: what each reads, which way is better, and its function.

The values are scikit-learn's, for the same answers. They are computed from plain lists with exact sums, in
mlship's own process: no package of the bundle or of the project is asked, which could say what it likes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Reads = Literal["decisions", "probabilities", "numbers"]
_EPSILON = {"FP16": 2.0**-10, "FP32": 2.0**-23, "FP64": 2.0**-52}


class Undefined(Exception):
    """The metric has no value for these answers; the text says why."""


@dataclass(frozen=True)
class Answered:
    """Held-out `truth` and what the bundle has `given`: a class or number for each row, or (probabilities) a
    list with one number for each of `classes`. `positive` is the one class that is asked about, empty for
    all alike; `datatype` is that of `given`."""

    truth: Sequence[Any]
    given: Sequence[Any]
    classes: Sequence[str] = ()
    positive: str = ""
    datatype: str = "FP64"


@dataclass(frozen=True)
class Metric:
    """`one_class`: with two classes it is about one of them, which must be named."""

    reads: Reads
    larger_is_better: bool
    value: Callable[[Answered], float]
    one_class: bool = False


def accuracy(answered: Answered) -> float:
    hits = sum(1 for truth, given in zip(answered.truth, answered.given, strict=True) if truth == given)
    return hits / len(answered.truth)


def balanced_accuracy(answered: Answered) -> float:
    """The mean of the recall of each class that the truth has."""
    return _mean([_share(counts.hits, counts.there) for counts in _counts(answered) if counts.there])


def precision(answered: Answered) -> float:
    return _mean([_share(counts.hits, counts.said) for counts in _counts(answered)])


def recall(answered: Answered) -> float:
    return _mean([_share(counts.hits, counts.there) for counts in _counts(answered)])


def f1(answered: Answered) -> float:
    return _mean([_share(2 * counts.hits, counts.said + counts.there) for counts in _counts(answered)])


def roc_auc(answered: Answered) -> float:
    """How often a row of a class is rated higher than one of another (ties count half); over more than two
    classes the mean of each against the rest. Raises Undefined if a class has all rows or none."""
    wanted = [answered.positive] if answered.positive else list(answered.classes)
    if not answered.positive and len(wanted) == 2:
        wanted = wanted[1:]
    return _mean([_one_against_rest(answered, name) for name in wanted])


def log_loss(answered: Answered) -> float:
    """Minus the mean logarithm of the probability of the true class, which is kept off 0 and 1 by the
    precision of its datatype. Raises Undefined for a probability outside of 0 to 1."""
    column = {name: at for at, name in enumerate(answered.classes)}
    epsilon = _EPSILON.get(answered.datatype, _EPSILON["FP64"])
    for row in answered.given:
        if not all(0 <= value <= 1 for value in row):
            raise Undefined("the output has values that are no probabilities")
    rated = (row[column[truth]] for truth, row in zip(answered.truth, answered.given, strict=True))
    return -_mean([math.log(min(max(value, epsilon), 1 - epsilon)) for value in rated])


def rmse(answered: Answered) -> float:
    return math.sqrt(_mean([error * error for error in _errors(answered)]))


def mae(answered: Answered) -> float:
    return _mean([abs(error) for error in _errors(answered)])


def r2(answered: Answered) -> float:
    """1 for perfect answers, 0 for those no better than the mean. Raises Undefined below two rows."""
    if len(answered.truth) < 2:
        raise Undefined("r2 needs two rows at least")
    mean = _mean(answered.truth)
    left = math.fsum(error * error for error in _errors(answered))
    there = math.fsum((truth - mean) * (truth - mean) for truth in answered.truth)
    if there == 0:
        return 1.0 if left == 0 else 0.0
    return 1 - left / there


METRICS: dict[str, Metric] = {
    "accuracy": Metric("decisions", True, accuracy),
    "balanced_accuracy": Metric("decisions", True, balanced_accuracy),
    "precision": Metric("decisions", True, precision, one_class=True),
    "recall": Metric("decisions", True, recall, one_class=True),
    "f1": Metric("decisions", True, f1, one_class=True),
    "roc_auc": Metric("probabilities", True, roc_auc),
    "log_loss": Metric("probabilities", False, log_loss),
    "rmse": Metric("numbers", False, rmse),
    "mae": Metric("numbers", False, mae),
    "r2": Metric("numbers", True, r2),
}


def measure(name: str, answered: Answered) -> float:
    """The value of the metric `name`; Undefined if there is none, or it is no finite number."""
    try:
        value = METRICS[name].value(answered)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise Undefined("the numbers are too large")
    return value


@dataclass(frozen=True)
class _Counted:
    """Of one class: rows that are `there`, that were `said` to be, and that were both."""

    there: int
    said: int
    hits: int


def _counts(answered: Answered) -> list[_Counted]:
    """Of the class that is asked about; else of each that the truth or the answers have."""
    there, said = Counter(answered.truth), Counter(answered.given)
    pairs = zip(answered.truth, answered.given, strict=True)
    hits = Counter(truth for truth, given in pairs if truth == given)
    wanted = [answered.positive] if answered.positive else sorted(there | said)
    return [_Counted(there[name], said[name], hits[name]) for name in wanted]


def _one_against_rest(answered: Answered, name: str) -> float:
    at = list(answered.classes).index(name)
    rated = sorted(
        (row[at], truth == name) for truth, row in zip(answered.truth, answered.given, strict=True)
    )
    inside = sum(1 for _, wanted in rated if wanted)
    outside = len(rated) - inside
    if not inside or not outside:
        raise Undefined(f"{'no' if not inside else 'every'} row is of the class {name!r}")
    won = below = start = 0  # won: twice the pairs that are in order, for ties are half a pair
    while start < len(rated):
        stop = start
        while stop < len(rated) and rated[stop][0] == rated[start][0]:
            stop += 1
        hits = sum(1 for _, wanted in rated[start:stop] if wanted)
        others = stop - start - hits
        won += hits * (2 * below + others)
        below += others
        start = stop
    return won / (2 * inside * outside)


def _errors(answered: Answered) -> list[float]:
    return [given - truth for truth, given in zip(answered.truth, answered.given, strict=True)]


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
