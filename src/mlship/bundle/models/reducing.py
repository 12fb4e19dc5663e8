"""A reduction that is an ONNX graph: what it is, what it says of the raw columns, whether it can be fused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import msgspec

from mlship.bundle.rows.examples import Tensor, take
from mlship.bundle.rows.stated import with_inputs
from mlship.config import Project
from mlship.config.sections import ColumnSection, Datatype, ModelSection, ReductionSection
from mlship.errors import BuildError
from mlship.schema import read_table
from mlship_runtime.bundle.fusion import ELEMENTS, CannotFuse, fuse
from mlship_runtime.bundle.graph_parts import GraphFile
from mlship_runtime.bundle.spec import TensorSpec
from mlship_runtime.errors import InvalidBundle
from mlship_runtime.golden import compare

FILE = "reduction.onnx"  # in the layer
_ALONE = {"abs": 1e-9, "rel": 1e-5}  # vectorised mathematics may round otherwise for other lengths
_TYPES: dict[int, Datatype] = {ELEMENTS[name]: name for name in get_args(Datatype)}


@dataclass(frozen=True)
class Reducing:
    """The graph, the raw columns that each of its inputs is made of, what converted it (nothing, if it was
    ONNX already) and of which `steps` of a pipeline. `apart` says why it is not fused with the model."""

    graph: bytes
    assemble: Mapping[str, Sequence[str]]
    opset: int
    converter: Mapping[str, str]
    steps: tuple[str, ...] = ()
    apart: str = ""


@dataclass(frozen=True)
class Reduced:
    """What a graph made of all examples, in the bundle's own runtime."""

    reducing: Reducing
    tensors: list[Tensor]

    @property
    def opsets(self) -> dict[str, int]:
        """The versions of the operator sets that the graph is written in, by domain."""
        return GraphFile(self.reducing.graph).opsets

    @property
    def schema(self) -> tuple[TensorSpec, ...]:
        return tuple(
            TensorSpec(t["name"], t["datatype"], (-1, *t["shape"][1:]), None in t["data"])
            for t in self.tensors
        )


def as_model(project: Project) -> Project | None:
    """A project whose model is the ONNX graph that reduces for `project`; None if none does."""
    section = project.reduction
    if section is None or section.graph is None:
        return None
    return msgspec.structs.replace(project, model=ModelSection(source=section.graph), reduction=None)


def with_graph_inputs(project: Project) -> Project:
    """`project` with the inputs of the ONNX graph that reduces, where these are called like columns of the
    examples. A file that is no ONNX graph says nothing here; whoever takes it complains."""
    section = project.reduction or ReductionSection()
    path = project.root / (section.graph or "")
    if section.graph is None or not path.is_file():
        return project
    try:
        inputs = GraphFile(path.read_bytes()).inputs
    except InvalidBundle:
        return project
    if not set(inputs) <= _columns(project, path):
        return project
    return with_inputs(
        project, {name: ColumnSection(type=_TYPES.get(v.element)) for name, v in inputs.items()}
    )


def why_apart(
    project: Project, reducing: Reducing, model: bytes, assemble: Mapping[str, Sequence[str]],
    reduced: Sequence[TensorSpec],
) -> str:  # fmt: skip
    """Why the reduction is not fused with the ONNX file `model`; empty if it is."""
    if project.reduction is not None and not project.reduction.fuse:
        return "mlship.toml says fuse = false"
    try:
        fuse(reducing.graph, model, assemble, reduced)
    except CannotFuse as reason:
        return str(reason)
    return ""


def check_rows(tensors: Sequence[Tensor], rows: int) -> None:
    """Raise BuildError unless each tensor has a row for each example."""
    for tensor in tensors:
        if tensor["shape"][:1] != [rows]:
            raise BuildError(
                f"the reduction gives {tensor['name']!r} of shape {tensor['shape']} for {rows} rows",
                fix="Each of its outputs needs the rows as its first dimension",
            )


def check_alone(whole: Sequence[Tensor], alone: Sequence[Tensor], rows: Sequence[int]) -> None:
    """Raise BuildError unless `rows` give the same alone as among all: servers see them in other batches."""
    limits = {tensor["name"]: _ALONE for tensor in whole if str(tensor["datatype"]).startswith("FP")}
    found = compare(take(whole, rows), alone, limits)
    if not found.equal:
        raise BuildError(
            f"the reduction gives something else for row {rows[0]} alone than among all rows",
            cause=str(found.differences[0].output) + " uses the other rows of the batch (their mean, say)",
            fix="Compute such values in training and keep them as constants",
        )


def _columns(project: Project, path: Path) -> set[str]:
    if project.golden.synthetic:
        return set(project.schema)
    examples = project.root / project.golden.source
    if examples.suffix == ".npy" or not examples.is_file():
        return set()
    return set(read_table(examples).header)
