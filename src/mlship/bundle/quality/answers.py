"""What a bundle answers to held-out rows, in the form that a metric reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import prod
from typing import Any

from mlship.bundle.quality.asked import REST, Asked
from mlship.bundle.quality.held_out import HeldOut
from mlship.bundle.quality.metrics import Answered
from mlship.bundle.rows.examples import Tensor, take
from mlship.errors import BundleError

VALUES_AT_ONCE = 2_000_000  # of all inputs, in one process of the bundle's


def batches(tensors: Sequence[Tensor], rows: int) -> Iterator[list[Tensor]]:
    """The rows in portions that a process can hold."""
    width = sum(prod(tensor["shape"][1:]) for tensor in tensors)
    at_once = max(1, VALUES_AT_ONCE // max(1, width))
    for start in range(0, rows, at_once):
        yield take(tensors, range(start, min(start + at_once, rows)))


def answers_to(
    held_out: HeldOut, asked: Asked, ask: Callable[[Sequence[Tensor]], Sequence[Tensor]], name: str
) -> Answered:
    """The known answers beside those of the bundle `name`, which `ask` starts. Raises BundleError for answers
    that are missing or no numbers."""
    given: list[Any] = []
    for batch in batches(held_out.tensors, held_out.rows):
        given += _read(ask(batch), asked, batch[0]["shape"][0], len(given), name)
    truth: Sequence[Any] = held_out.truth
    classes: Sequence[str] = asked.classes
    if asked.rates_one:
        truth = [asked.positive if value == asked.positive else REST for value in truth]
        classes, given = (REST, asked.positive), [[1 - value, value] for value in given]
    return Answered(truth, given, classes, asked.positive, asked.output.datatype)


def _read(outputs: Sequence[Tensor], asked: Asked, rows: int, before: int, name: str) -> list[Any]:
    tensor = next((tensor for tensor in outputs if tensor["name"] == asked.output.name), None)
    if tensor is None or tensor["shape"][0] != rows:
        raise BundleError(f"{name} does not answer {asked.output.name} for each row")
    data, width = tensor["data"], prod(tensor["shape"][1:])
    if None in data:
        row = before + data.index(None) // max(1, width)
        raise BundleError(
            f"{name} answers {asked.output.name} = NaN (or infinity) for the held-out row {row} (from 0)"
        )
    if asked.metric.reads == "numbers":
        return [float(value) for value in data]
    if asked.metric.reads == "decisions" and not asked.output.classes:
        return [str(value) for value in data]
    if asked.rates_one:
        return list(data)
    if width != len(asked.classes):
        raise BundleError(
            f"{name} answers {width} numbers for each row, and has {len(asked.classes)} classes"
        )
    rated = [data[at : at + width] for at in range(0, len(data), width)]
    if asked.metric.reads == "probabilities":
        return rated
    return [asked.classes[row.index(max(row))] for row in rated]
