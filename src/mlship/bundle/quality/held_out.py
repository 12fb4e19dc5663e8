"""Held-out rows and their answers, read from the files that `[quality]` names, as the bundle takes them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlship.bundle.quality.asked import Asked, quality_of
from mlship.bundle.rows.examples import Tensor
from mlship.bundle.rows.npy import read_npy
from mlship.config import Project
from mlship.digest import chunks_of
from mlship.errors import BuildError, ConfigError
from mlship.schema import read_column, read_table
from mlship_runtime.bundle.spec import Spec


@dataclass(frozen=True)
class HeldOut:
    """`tensors` are the inputs of all rows, `truth` their answers: numbers, or the names of classes."""

    tensors: tuple[Tensor, ...]
    truth: tuple[Any, ...]

    @property
    def rows(self) -> int:
        return len(self.truth)


def files_digests(project: Project) -> tuple[str, str] | None:
    """The sha256 of the file of rows, and what tells the answers: the sha256 of theirs, or the column's name
    if they are in the same file. None if a file is not here."""
    section = quality_of(project)
    rows = project.root / section.rows
    apart = project.root / section.answers if rows.suffix == ".npy" else None
    if not rows.is_file() or (apart and not apart.is_file()):
        return None
    return _sha256(project, rows), _sha256(project, apart) if apart else section.answers


def read_held_out(project: Project, spec: Spec, asked: Asked) -> HeldOut:
    """The rows for the inputs of `spec`. Raises ConfigError for a file that is missing or broken, that lacks
    a column, or has a cell that its column does not take; for answers that are missing or of no class of the
    bundle's."""
    section = quality_of(project)
    path = project.root / section.rows
    if not path.is_file():
        raise project.error("quality", "rows", what=f"names {section.rows!r}, which is not a file")
    try:
        held_out = _from_npy(project, spec, asked) if path.suffix == ".npy" else _from_csv(path, spec, asked)
    except BuildError as error:
        raise project.error(
            "quality", "rows", what=f"cannot be used: {error.what}", cause=error.cause
        ) from error
    if asked.metric.reads == "numbers":
        return held_out
    truth = tuple(str(value) for value in held_out.truth)
    if asked.classes:
        _check_classes(project, truth, asked.classes)
    return HeldOut(held_out.tensors, truth)


def _from_csv(path: Path, spec: Spec, asked: Asked) -> HeldOut:
    table = read_table(path)
    inputs = [tensor.name for tensor in spec.inputs]
    for tensor in spec.inputs:
        if math.prod(tensor.shape[1:]) != 1:
            raise BuildError(
                f"{path.name} is a table, and the bundle's input {tensor.name} has rows of many values",
                cause="such rows come as a .npy file",
            )
    if asked.answer.name in inputs:
        raise BuildError(f"the column of the answers, {asked.answer.name!r}, is an input of the bundle")
    table.only([*inputs, asked.answer.name])
    truth = read_column(table, asked.answer)
    if asked.answer.datatype == "BYTES" and "" in truth:
        raise BuildError(f"{path.name}:{table.lines[truth.index('')]} has no answer")
    tensors = tuple(
        {
            "name": t.name,
            "datatype": t.datatype,
            "shape": [len(truth), *t.shape[1:]],
            "data": read_column(table, t),
        }
        for t in spec.inputs
    )
    return HeldOut(tensors, tuple(truth))


def _from_npy(project: Project, spec: Spec, asked: Asked) -> HeldOut:
    section = quality_of(project)
    if len(spec.inputs) != 1:
        raise BuildError(f"{section.rows} is one tensor, and the bundle has {len(spec.inputs)} inputs")
    tensor, found = spec.inputs[0], read_npy(project.root / section.rows)
    sizes = zip(tensor.shape[1:], found.shape[1:], strict=False)
    if len(found.shape) != len(tensor.shape) or any(size not in (-1, given) for size, given in sizes):
        raise BuildError(
            f"{section.rows} has the shape {list(found.shape)}",
            cause=f"the bundle's input {tensor.name} has {list(tensor.shape)}",
        )
    truth = _npy_answers(project, asked)
    if len(truth) != found.shape[0]:
        raise BuildError(
            f"{section.rows} has {found.shape[0]} rows, and {section.answers} {len(truth)} answers"
        )
    data = [None if value != value else value for value in found.data]
    floats = tensor.datatype.startswith("FP") and found.datatype.startswith("FP")
    kind = tensor.datatype if floats else found.datatype  # the bundle's own process makes it narrower
    rows = {"name": tensor.name, "datatype": kind, "shape": list(found.shape), "data": data}
    return HeldOut((rows,), tuple(truth))


def _npy_answers(project: Project, asked: Asked) -> list[Any]:
    name = quality_of(project).answers
    if Path(name).suffix != ".npy" or not (project.root / name).is_file():
        raise project.error(
            "quality",
            "answers",
            what=f"names {name!r}, which is not a .npy file",
            cause="nor are the rows a table",
        )
    found = read_npy(project.root / name, dimensions=1)
    if math.prod(found.shape[1:]) != 1:
        raise BuildError(
            f"{name} has the shape {list(found.shape)}", cause="there is one answer for each row"
        )
    for row, value in enumerate(found.data):
        if not math.isfinite(value):
            raise BuildError(f"{name} has no answer in row {row}")
    if asked.metric.reads == "numbers":
        return [float(value) for value in found.data]
    return [_class(value, asked.answer.datatype, name) for value in found.data]


def _class(value: Any, datatype: str, name: str) -> Any:
    """A number of a .npy file as a label of `datatype` is."""
    if datatype == "BOOL" and value in (0, 1):
        return bool(value)
    if isinstance(value, float):
        if value != int(value):
            raise BuildError(f"{name} holds {value:g}, which is no class")
        return int(value)
    return value


def _check_classes(project: Project, truth: Sequence[str], classes: Sequence[str]) -> None:
    for row, name in enumerate(truth):
        if name not in classes:
            raise project.error(
                "quality",
                "answers",
                what=f"has {name[:40]!r} in row {row} (from 0), which is no class of the bundle's",
                cause=f"they are {', '.join(classes)}",
            )


def _sha256(project: Project, path: Path) -> str:
    hasher = hashlib.sha256()
    try:
        for chunk in chunks_of(path):
            hasher.update(chunk)
    except OSError as error:
        raise ConfigError(
            f"{project.where('quality', 'rows')}: {path.name} cannot be read",
            cause=error.strerror or str(error),
        ) from error
    return hasher.hexdigest()
