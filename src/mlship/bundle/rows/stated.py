"""What a model's own file says of its inputs, where mlship.toml does not."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from mlship.config import Project
from mlship.config.sections import ColumnSection


def with_inputs(project: Project, said: Mapping[str, ColumnSection]) -> Project:
    """`project` with these columns as inputs, in this order, and their types. What mlship.toml says wins; an
    array of examples has no columns."""
    golden = project.golden
    if not said or golden.source.endswith(".npy"):
        return project
    if golden.columns is None and not golden.synthetic:
        golden = msgspec.structs.replace(golden, columns=tuple(said))
    schema = {name: said[name] for name in golden.columns or said if name in said}
    for name, stated in project.schema.items():
        kind = stated.type or (schema[name].type if name in schema else None)
        schema[name] = msgspec.structs.replace(stated, type=kind)
    return msgspec.structs.replace(project, schema=schema, golden=golden)
