"""The examples of a project: raw inputs as V2 tensors, from a CSV file, a .npy file, or made from the
schema."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from mlship.bundle.rows.npy import read_npy
from mlship.bundle.rows.synthetic import synthetic_columns
from mlship.config import Project
from mlship.digest import sha256
from mlship.errors import BuildError
from mlship.schema import infer, read_column, read_table
from mlship_runtime.bundle import canonical
from mlship_runtime.bundle.spec import TensorSpec

MAX_ROWS = 10_000  # of a longer file, rows evenly spread over it are taken
Tensor = dict[str, Any]  # {name, datatype, shape: [rows, …], data: flat, None = missing}


@dataclass(frozen=True)
class Examples:
    """`tensors` have one first dimension, `rows`; `schema` describes them with -1 in its place."""

    schema: tuple[TensorSpec, ...]
    tensors: tuple[Tensor, ...]
    rows: int

    @property
    def digest(self) -> str:
        """Of schema and values: part of what golden outputs depend on."""
        schema = [[t.name, t.datatype, list(t.shape), t.nullable] for t in self.schema]
        return sha256(canonical.encode({"schema": schema, "tensors": list(self.tensors)}))


def take(tensors: Sequence[Tensor], rows: Sequence[int]) -> list[Tensor]:
    """`tensors` with the given rows only, in that order."""
    taken = []
    for tensor in tensors:
        width, data = math.prod(tensor["shape"][1:]), tensor["data"]
        values = [value for row in rows for value in data[row * width : (row + 1) * width]]
        taken.append({**tensor, "shape": [len(rows), *tensor["shape"][1:]], "data": values})
    return taken


def spread(total: int, count: int, seed: int) -> list[int]:
    """`count` of the rows 0 … total-1, one from each of `count` equal stretches; all if there are no more."""
    if count >= total:
        return list(range(total))
    dice = random.Random(seed)  # noqa: S311 (examples, no secrets)
    edges = [total * at // count for at in range(count + 1)]
    return [low + int(dice.random() * (high - low)) for low, high in pairwise(edges)]


def read_examples(project: Project) -> Examples:
    """The examples that [golden] names. Raises BuildError (file) or ConfigError (mlship.toml) that says
    where."""
    if project.golden.synthetic:
        schema, columns = synthetic_columns(project)
        return _from_columns(schema, columns)
    path = project.root / project.golden.source
    if not path.is_file():
        raise project.error("golden", "from", what=f"names {project.golden.source!r}, which is not a file")
    if path.suffix == ".npy":
        examples = _from_npy(project)
    else:
        table = read_table(path)
        if project.golden.columns is not None:
            table = table.only(project.golden.columns)
        schema = infer(table, project.schema)
        examples = _from_columns(schema, [read_column(table, tensor) for tensor in schema])
    if examples.rows > MAX_ROWS:
        kept = spread(examples.rows, MAX_ROWS, project.golden.seed)
        return Examples(examples.schema, tuple(take(examples.tensors, kept)), len(kept))
    return examples


def _from_columns(schema: tuple[TensorSpec, ...], columns: list[list[Any]]) -> Examples:
    rows = len(columns[0])
    tensors = tuple(
        {"name": spec.name, "datatype": spec.datatype, "shape": [rows], "data": values}
        for spec, values in zip(schema, columns, strict=True)
    )
    return Examples(schema, tensors, rows)


def _from_npy(project: Project) -> Examples:
    """One tensor X; [schema.X] can say its type and whether values may be missing (NaN)."""
    name = "X"
    if project.golden.columns is not None:
        raise project.error("golden", "columns", what="is for CSV files; a .npy file is one tensor, X")
    for other in project.schema:
        if other != name:
            raise project.error("schema", other, what="is no tensor of a .npy file", fix="Its tensor is X")
    found, stated = read_npy(project.root / project.golden.source), project.schema.get(name)
    datatype = (stated.type if stated else None) or found.datatype
    if datatype != found.datatype:
        raise project.error("schema", name, "type", what=f"is {datatype}, the file holds {found.datatype}")
    width = math.prod(found.shape[1:])
    data = [None if value != value else value for value in found.data]
    for at, value in enumerate(data):
        if value in (math.inf, -math.inf):
            raise BuildError(f"{project.golden.source} has an infinite value in row {at // width}")
    missing = None in data
    nullable = missing if stated is None or stated.nullable is None else stated.nullable
    if missing and not nullable:
        row = data.index(None) // width
        raise BuildError(f"{project.golden.source} has NaN in row {row}, and X is not nullable")
    spec = TensorSpec(name, datatype, (-1, *found.shape[1:]), nullable)
    tensor = {"name": name, "datatype": datatype, "shape": list(found.shape), "data": data}
    return Examples((spec,), (tensor,), found.shape[0])
