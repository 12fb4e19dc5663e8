"""Golden examples: does a release answer as the build did? Floats within the tolerance recorded per output,
everything else exactly. Standard library only; works on JSON tensors {name, datatype, shape, data}."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite, prod
from typing import Any

Tensor = Mapping[str, Any]
_NOTHING = {"abs": 0.0, "rel": 0.0}


@dataclass(frozen=True)
class Difference:
    """One answer that is not as recorded; `row` is None when the whole output is of another kind."""

    row: int | None
    output: str
    expected: Any
    actual: Any

    def __str__(self) -> str:
        place = self.output if self.row is None else f"row {self.row}, {self.output}"
        return f"{place}: expected {self.expected!r}, got {self.actual!r}"


@dataclass(frozen=True)
class Comparison:
    """`rows` compared; `max_abs` and `max_rel` are the largest errors of float outputs (absolute, and
    relative to the recorded value), within the tolerance or not."""

    rows: int
    max_abs: float
    max_rel: float
    differences: list[Difference] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        return not self.differences


def compare(
    expected: Sequence[Tensor], actual: Sequence[Tensor], tolerance: Mapping[str, Mapping[str, float]]
) -> Comparison:
    """Compare recorded outputs with answered ones. `tolerance` maps a float output to {abs, rel}: an error
    may be abs + rel * |recorded|; an output without one must be equal."""
    answered = {tensor["name"]: tensor for tensor in actual}
    rows, max_abs, max_rel = 0, 0.0, 0.0
    differences: list[Difference] = []
    for tensor in expected:
        rows = max(rows, tensor["shape"][0])
        other = answered.pop(tensor["name"], None)
        if other is None or _kind(other) != _kind(tensor):
            kind = None if other is None else _kind(other)
            differences.append(Difference(None, tensor["name"], _kind(tensor), kind))
            continue
        for difference, absolute, relative in _errors(tensor, other, tolerance.get(tensor["name"], _NOTHING)):
            max_abs, max_rel = max(max_abs, absolute), max(max_rel, relative)
            if difference is not None:
                differences.append(difference)
    differences += [Difference(None, name, None, _kind(tensor)) for name, tensor in answered.items()]
    return Comparison(rows, max_abs, max_rel, differences)


def rows_of(golden: Mapping[str, Any], start: int, stop: int) -> dict[str, Any]:
    """The examples `start` up to `stop` (rows count from 0) in the form of the whole golden file."""
    cut = {key: [_cut(tensor, start, stop) for tensor in golden[key]] for key in ("inputs", "outputs")}
    return {**golden, **cut}


def _cut(tensor: Tensor, start: int, stop: int) -> dict[str, Any]:
    rows, *rest = tensor["shape"]
    width = prod(rest)
    start, stop, _ = slice(start, stop).indices(rows)
    stop = max(start, stop)
    return {**tensor, "shape": [stop - start, *rest], "data": tensor["data"][start * width : stop * width]}


def _kind(tensor: Tensor) -> str:
    return f"{tensor['datatype']} {list(tensor['shape'])}"


def _errors(
    expected: Tensor, actual: Tensor, limit: Mapping[str, float]
) -> Iterator[tuple[Difference | None, float, float]]:
    """For each value that differs: the Difference if it is beyond `limit`, absolute and relative error."""
    width = prod(expected["shape"][1:])
    floats = expected["datatype"].startswith("FP")
    given = actual["data"]
    if len(given) != len(expected["data"]):
        yield Difference(None, expected["name"], len(expected["data"]), len(given)), 0.0, 0.0
        return
    for index, wanted in enumerate(expected["data"]):
        got = given[index]
        if got == wanted and type(got) is type(wanted):
            continue
        absolute = relative = 0.0
        within = False
        if floats and _is_number(wanted) and _is_number(got):
            absolute = abs(got - wanted)
            relative = absolute / abs(wanted) if wanted else 0.0
            within = absolute <= limit["abs"] + limit["rel"] * abs(wanted)
        row = index // width
        yield None if within else Difference(row, expected["name"], wanted, got), absolute, relative


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and isfinite(value)
