"""Which column of a file feeds which input, which is kept and which is let be; and what the output's columns
are called. Standard library only: it is settled before anything of the model is loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Protocol

from mlship_runtime.bundle.spec import TensorSpec
from mlship_runtime.errors import BadInput


class Tensors(Protocol):
    """What a bundle's spec says of what is read and answered. Of neither where nothing is scored: then what
    is kept is all."""

    @property
    def inputs(self) -> Sequence[TensorSpec]: ...

    @property
    def outputs(self) -> Sequence[TensorSpec]: ...


@dataclass(frozen=True)
class Layout:
    """`header` names all columns of the file; `inputs` has the places of each input's columns among them,
    `kept` those of the columns that go to the output."""

    header: tuple[str, ...]
    inputs: tuple[tuple[TensorSpec, tuple[int, ...]], ...]
    kept: tuple[int, ...]

    @property
    def ignored(self) -> list[str]:
        used = {place for _, places in self.inputs for place in places} | set(self.kept)
        return [name for place, name in enumerate(self.header) if place not in used]


def lay_out(
    header: Sequence[str], inputs: Sequence[TensorSpec], keep: Sequence[str], *, lists: bool = False
) -> Layout:
    """`lists` says that one column of the input may hold all values of a tensor's row. Raises BadInput for a
    column that is missing, or there twice."""
    names = tuple(name.strip() for name in header)
    columns = {spec.name: [spec.name] if lists and spec.name in names else names_of(spec) for spec in inputs}
    there = Counter(names)
    for name in (*keep, *(column for wanted in columns.values() for column in wanted)):
        if there[name] > 1:
            raise BadInput(f"the input names {name} twice", field=name)
    known = {name: place for place, name in enumerate(names)}
    kept = tuple(_place(known, name, "kept") for name in keep)
    if not inputs:
        return Layout(names, (), kept)
    first = columns[inputs[0].name]
    if len(inputs) == 1 and len(inputs[0].shape) == 2 and not (first and set(first) <= set(names)):
        return Layout(names, ((inputs[0], _in_order(names, inputs[0], kept)),), kept)
    places = []
    for spec in inputs:
        if not columns[spec.name]:
            what, cause = f"{spec.name} has no fixed number of columns", f"its shape is {list(spec.shape)}"
            raise BadInput(what, field=spec.name, cause=cause, fix="Give JSON lines")
        places.append((spec, tuple(_place(known, name, "read") for name in columns[spec.name])))
    return Layout(names, tuple(places), kept)


def without_header(inputs: Sequence[TensorSpec]) -> list[str]:
    """The columns of a file that does not name them: those of the schema, in its order."""
    return [name for spec in inputs for name in names_of(spec)]


def names_of(spec: TensorSpec) -> list[str]:
    """What the columns of a tensor are called in a table: its name, or NAME_0, NAME_1, … of several; none if
    the schema leaves their number open."""
    sizes = spec.shape[1:]
    if -1 in sizes:
        return []
    if all(size == 1 for size in sizes):
        return [spec.name]
    return ["_".join([spec.name, *map(str, place)]) for place in product(*map(range, sizes))]


def check_outputs(outputs: Sequence[TensorSpec], keep: Sequence[str], table: bool) -> list[str]:
    """The names of the output's columns, or of its fields if it is no `table`; raises BadInput if two are
    alike, or their number is open."""
    names = list(keep)
    for spec in outputs:
        if not table:
            names.append(spec.name)
            continue
        if -1 in spec.shape[1:]:
            cause = f"its shape is {list(spec.shape)}"
            raise BadInput(
                f"{spec.name} has no fixed number of columns",
                field=spec.name,
                cause=cause,
                fix="Write .jsonl",
            )
        names += names_of(spec)
    for name in names:
        if names.count(name) > 1:
            raise BadInput(f"{name} would stand twice in the output", field=name, fix="Do not keep it")
    return names


def _place(places: Mapping[str, int], name: str, verb: str) -> int:
    if name not in places:
        names = list(places)
        shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        what = f"the input has no column {name}, which is {verb}"
        raise BadInput(what, field=name, cause=f"it has {shown}")
    return places[name]


def _in_order(names: tuple[str, ...], spec: TensorSpec, kept: tuple[int, ...]) -> tuple[int, ...]:
    """A matrix takes all columns that are not kept, whatever their names."""
    places = tuple(place for place in range(len(names)) if place not in kept)
    if spec.shape[1] not in (-1, len(places)):
        what = f"the input has {len(places)} columns that are not kept, {spec.name} has {spec.shape[1]}"
        first = names_of(spec)
        fix = f"Keep or remove the others, or name those of the model {first[0]} to {first[-1]}"
        raise BadInput(what, field=spec.name, fix=fix)
    return places
