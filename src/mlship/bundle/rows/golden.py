"""Golden examples: which rows travel in the bundle, and the answers that must come back everywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlship.bundle.lock import LockedGolden
from mlship.bundle.models.proof import hanging_rows
from mlship.bundle.rows.examples import Examples, Tensor, spread, take
from mlship.bundle.rows.seen import Seen
from mlship.config import Project
from mlship.errors import BuildError
from mlship_runtime.golden import compare

SCHEMA = 1


def choose(
    project: Project, examples: Examples, outputs: Sequence[Tensor], margins: Sequence[float] | None
) -> list[int]:
    """The rows to keep: evenly spread, without those whose decision hangs on less than the tolerance."""
    limit = _limit(project)
    hanging = hanging_rows(outputs, margins, limit)
    firm = [row for row in range(examples.rows) if row not in hanging]
    if not firm:
        raise BuildError(
            "no example can be golden: every decision hangs on less than the tolerance",
            fix="Give examples that the model decides clearly, or lower [golden] tolerance",
        )
    return [firm[at] for at in spread(len(firm), project.golden.rows, project.golden.seed)]


def recorded(
    inputs: Mapping[str, str], rows: Sequence[int], outputs: Sequence[Tensor], seen: Mapping[str, Seen]
) -> LockedGolden:
    """The answers to `rows` out of the answers to all examples, for the lock, with what was `seen` in all."""
    _check_numbers(take(outputs, rows), rows)
    return LockedGolden(
        inputs=dict(inputs),
        rows=tuple(rows),
        outputs=tuple(take(outputs, rows)),
        seen={part: {name: dict(said) for name, said in found.items()} for part, found in seen.items()},
    )


def check_locked(project: Project, locked: LockedGolden, outputs: Sequence[Tensor]) -> None:
    """Raise BuildError unless what this machine computes agrees with the lock within the tolerance."""
    fresh = take(outputs, locked.rows)
    found = compare(locked.outputs, fresh, tolerances(project, fresh))
    if not found.equal:
        raise BuildError(
            f"this machine answers {len(found.differences)} golden values otherwise than mlship.lock says",
            cause=str(found.differences[0]),
            fix="Find out why; if the new answers are right, renew them: mlship lock --upgrade",
        )


def golden_document(examples: Examples, locked: LockedGolden) -> dict[str, Any]:
    """The content of golden/golden.json."""
    inputs = take(examples.tensors, locked.rows)
    return {"schemaVersion": SCHEMA, "inputs": inputs, "outputs": [dict(tensor) for tensor in locked.outputs]}


def tolerances(project: Project, outputs: Sequence[Tensor]) -> dict[str, dict[str, float]]:
    """{abs, rel} for each float output; the others must be equal."""
    return {t["name"]: _limit(project) for t in outputs if t["datatype"].startswith("FP")}


def _limit(project: Project) -> dict[str, float]:
    tolerance = project.golden.tolerance
    return {"abs": tolerance.abs, "rel": tolerance.rel}


def _check_numbers(outputs: Sequence[Tensor], rows: Sequence[int]) -> None:
    for tensor in outputs:
        if None in tensor["data"]:
            per_row = len(tensor["data"]) // len(rows)
            row = rows[tensor["data"].index(None) // per_row]
            raise BuildError(
                f"the model answers {tensor['name']} = NaN (or infinity) for row {row} of the examples",
                fix="Fill missing values in the reduction step, or leave such rows out of the examples",
            )
