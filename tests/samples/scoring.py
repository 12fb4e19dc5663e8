"""What tests of scoring need of a bundle: a schema, and a model that is plain arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mlship_runtime.bundle.spec import TensorSpec
from mlship_runtime.errors import BadInput
from mlship_runtime.scoring.forms import scorer_for
from mlship_runtime.scoring.job import Job
from mlship_runtime.scoring.journal import Journal
from mlship_runtime.scoring.opening import opened, titles_of
from mlship_runtime.scoring.run import Run
from mlship_runtime.scoring.workers import Alone

BUNDLE = "sha256:" + "0" * 64


@dataclass(frozen=True)
class Schema:
    """As much of a spec as scoring reads."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


def tensor(name: str, datatype: str = "FP64", *sizes: int, nullable: bool = False) -> TensorSpec:
    return TensorSpec(name, datatype, (-1, *sizes), nullable)


AGES = Schema((tensor("age"), tensor("plan", "BYTES")), (tensor("label", "INT64"), tensor("p", "FP32", 2)))


def predict(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Refuses ages above 1000, as a model may, and tells nothing of which row it was."""
    age = columns["age"]
    if (age > 1000).any():
        raise BadInput(f"age, row {int((age > 1000).argmax())} is too old for the model", field="age")
    p = (1 / (1 + np.exp(-age / 50))).astype(np.float32)
    return {"label": (p > 0.6).astype(np.int64), "p": np.stack([1 - p, p], axis=1)}


def run_of(job: Job, schema: Schema = AGES, bundle: str = BUNDLE, **more: Any) -> Run:
    opening = opened(job, schema)
    return Run(job, bundle, opening.source, titles_of(job, schema, opening), opening.ignored, **more)


def score(job: Job, schema: Schema = AGES, bundle: str = BUNDLE, **more: Any) -> Journal:
    """One run in this process; raises what it raises."""
    run = run_of(job, schema, bundle, **more)
    return run.run(Alone(scorer_for(job, schema, opened(job, schema).header, predict)))


def rows_file(path: Path, count: int, bad: Sequence[int] = ()) -> Path:
    """CSV with the columns id, age, plan; in the rows of `bad`, from 0, the age is no number."""
    lines = ["id,age,plan"]
    for row in range(count):
        age = "old" if row in bad else f"{row * 7 % 90}.{row % 10}"
        lines.append(f'k-{row},{age},"{"a, b" if row % 3 else "pro"}"')
    path.write_text("\n".join(lines) + "\n")
    return path
