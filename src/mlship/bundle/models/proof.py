"""Compares: the original model with the converted one, the project's reduction with the bundle's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mlship.bundle.lock import LockedParity
from mlship.bundle.rows.examples import Tensor
from mlship.errors import BuildError
from mlship_runtime.golden import Comparison, Difference, compare


class Disparity(BuildError):
    """The converted model does not answer as the original."""


ONNX, LOCKED = "the ONNX model", "the packed model"
_FIXES = {
    ONNX: (
        "Train it on float32 features, or ship it as an ONNX model that you have checked",
        "Train it on float32 features, or widen [model] tolerance if the error does not matter",
    ),
    LOCKED: ("Pin the packages that made it in [runtime] requirements",) * 2,
}
_REDUCED = {"abs": 1e-9, "rel": 1e-6}
_SHOWN = 5  # rows named in a message


def check_parity(
    reference: Sequence[Tensor], outputs: Sequence[Tensor], tolerance: Mapping[str, float], who: str = ONNX
) -> LockedParity:
    """How far `outputs` of `who` are from the original's `reference`; raises BuildError that names rows and
    errors if numbers are beyond `tolerance` ({abs, rel}) or a decision is another one."""
    by_name = {tensor["name"]: tensor for tensor in outputs}
    wanted = [_as(tensor, by_name[tensor["name"]]) for tensor in reference]
    found = compare(
        wanted, [by_name[t["name"]] for t in wanted], {t["name"]: tolerance for t in wanted if _is_float(t)}
    )
    if not found.equal:
        raise _disparity(found, tolerance, who)
    return LockedParity(rows=found.rows, max_abs=_rounded(found.max_abs), max_rel=_rounded(found.max_rel))


def check_reduced(project: Sequence[Tensor], bundle: Sequence[Tensor]) -> None:
    """Raise BuildError unless the reduction gave the same in the project's Python and in the bundle's
    runtime."""
    limits = {tensor["name"]: _REDUCED for tensor in project if _is_float(tensor)}
    found = compare([_without_nan(tensor) for tensor in project], bundle, limits)
    if not found.equal:
        raise BuildError(
            f"the reduction gives other values in the bundle's runtime than here, {_where(found)}",
            cause=str(found.differences[0]),
            fix="Pin the package versions that trained the model in [runtime] requirements",
        )


def check_fused(apart: Sequence[Tensor], fused: Sequence[Tensor], limits: Mapping[str, Any]) -> float:
    """The largest error of reduction and model in one session against the two one after the other; raises
    BuildError beyond `limits` ({abs, rel} by output) and where a decision is another one."""
    found = compare(apart, fused, limits)
    if not found.equal:
        raise BuildError(
            f"reduction and model answer otherwise in one session than one after the other {_where(found)}",
            cause=str(found.differences[0]),
            fix="Keep them apart: [reduction] fuse = false",
        )
    return found.max_abs


def hanging_rows(
    outputs: Sequence[Tensor], margins: Sequence[float] | None, limit: Mapping[str, float]
) -> set[int]:
    """Rows whose decision hangs on less than `limit`: another processor may decide them otherwise.

    Looks at probabilities beside a label (their two best, or the distance from 0.5 of a single one), else at
    `margins`; a regression decides nothing.
    """
    labels = [t for t in outputs if not _is_float(t) and len(t["shape"]) == 1]
    if not labels:
        return set()
    scores = next((t for t in outputs if _is_float(t) and len(t["shape"]) == 2), None)
    if scores is None:
        return {row for row, margin in enumerate(margins or ()) if margin <= limit["abs"] + limit["rel"]}
    width, found = scores["shape"][1], set()
    for row in range(scores["shape"][0]):
        values = sorted(
            (v for v in scores["data"][row * width : (row + 1) * width] if v is not None), reverse=True
        )
        best = values[0] if values else math.inf
        other = values[1] if len(values) > 1 else 1.0 - best
        if abs(best - other) <= 2 * (limit["abs"] + limit["rel"] * abs(best)):
            found.add(row)
    return found


def _as(reference: Tensor, output: Tensor) -> Tensor:
    """The original's answer in the form of the graph's: [rows] and [rows, 1] are one, and so are FP64 and
    FP32."""
    if math.prod(reference["shape"]) != math.prod(output["shape"]):
        return reference
    found = {**reference, "shape": output["shape"]}
    if _is_float(reference) and _is_float(output):
        found = {**_without_nan(found), "datatype": output["datatype"]}
    return found


def _disparity(found: Comparison, tolerance: Mapping[str, float], who: str) -> Disparity:
    on_decisions, on_numbers = _FIXES[who]
    form = next((d for d in found.differences if d.row is None), None)
    if form is not None:
        return Disparity(f"{who} answers in another form than the original", cause=str(form))
    decided = [d for d in found.differences if not isinstance(d.expected, float)]
    if decided:
        return Disparity(
            f"{who} decides otherwise than the original {_where(found, decided)}",
            cause=str(decided[0]),
            fix=on_decisions,
        )
    return Disparity(
        f"{who}'s numbers are not the original's {_where(found)}",
        cause=f"{_worst(found)}, allowed are abs {tolerance['abs']:g} and rel {tolerance['rel']:g}",
        fix=on_numbers,
    )


def _worst(found: Comparison) -> str:
    return f"the largest error is {found.max_abs:.3g} (relative {found.max_rel:.3g})"


def _where(found: Comparison, differences: Sequence[Difference] | None = None) -> str:
    chosen = found.differences if differences is None else differences
    rows = sorted({d.row for d in chosen if d.row is not None})
    named = ", ".join(map(str, rows[:_SHOWN])) + (
        f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
    )
    return f"in {len(rows)} of {found.rows} rows ({named})"


def _is_float(tensor: Mapping[str, Any]) -> bool:
    return str(tensor["datatype"]).startswith("FP")


def _without_nan(tensor: Tensor) -> Tensor:
    return {**tensor, "data": [None if value != value else value for value in tensor["data"]]}


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")
