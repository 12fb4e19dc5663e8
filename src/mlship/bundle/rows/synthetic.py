"""Examples made from the schema alone: uniform within the stated bounds, always the same for one seed."""

from __future__ import annotations

import random
from typing import Any

from mlship.config import Project
from mlship.config.sections import ColumnSection
from mlship_runtime.bundle.spec import TensorSpec

ROWS = 256
_MISSING_SHARE = 0.05


def synthetic_columns(project: Project) -> tuple[tuple[TensorSpec, ...], list[list[Any]]]:
    """(schema, values per column) of 256 rows; raises ConfigError for a column that says too little."""
    if not project.schema:
        raise project.error(
            "golden",
            "from",
            what="is synthetic, but no column is described",
            fix='Write [schema.COLUMN] with type and min, max or values, or name a file: from = "rows.csv"',
        )
    dice = random.Random(project.golden.seed)  # noqa: S311 (examples, no secrets)
    tensors, columns = [], []
    for name in project.golden.columns or project.schema:
        if name not in project.schema:
            raise project.error("golden", "columns", what=f"names {name!r}, which has no [schema.{name}]")
        column = project.schema[name]
        tensor = TensorSpec(name, _datatype(project, name, column), (-1,), bool(column.nullable))
        _check_stated(project, tensor, column)
        tensors.append(tensor)
        columns.append([_draw(dice, tensor, column) for _ in range(ROWS)])
    return tuple(tensors), columns


def _datatype(project: Project, name: str, column: ColumnSection) -> str:
    if column.type is None:
        raise project.error("schema", name, what="has no type", fix="Synthetic rows need type = …")
    return column.type


def _check_stated(project: Project, tensor: TensorSpec, column: ColumnSection) -> None:
    if column.values is not None:
        if not column.values:
            raise project.error("schema", tensor.name, "values", what="is empty")
        for value in column.values:
            if not _fits(value, tensor.datatype):
                raise project.error(
                    "schema", tensor.name, "values", what=f"has {value!r}, which is not {tensor.datatype}"
                )
        return
    if tensor.datatype == "BYTES":
        raise project.error("schema", tensor.name, what="has no values", fix="List them: values = [...]")
    if tensor.datatype != "BOOL" and (column.min is None or column.max is None):
        raise project.error("schema", tensor.name, what="has no min and max", fix="Synthetic rows need both")


def _fits(value: Any, datatype: str) -> bool:
    if datatype == "BYTES":
        return isinstance(value, str)
    if datatype == "BOOL":
        return isinstance(value, bool)
    if datatype.startswith("FP"):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, int) and not isinstance(value, bool)


def _draw(dice: random.Random, tensor: TensorSpec, column: ColumnSection) -> Any:
    if tensor.nullable and dice.random() < _MISSING_SHARE:
        return None
    if column.values is not None:
        value = column.values[dice.randrange(len(column.values))]
        return float(value) if tensor.datatype.startswith("FP") else value
    if tensor.datatype == "BOOL":
        return dice.random() < 0.5
    low, high = column.min or 0.0, column.max or 0.0
    drawn = low + (high - low) * dice.random()
    if tensor.datatype.startswith("FP"):
        return min(max(float(f"{drawn:.6g}"), low), high)
    return int(min(max(round(drawn), low), high))
