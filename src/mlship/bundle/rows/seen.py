"""What was seen in the examples: the range of numbers, the categories of texts and of a few whole numbers.

It is for people to read, and refuses nothing. Nobody shall find a row in it: a category that only one row
has, and all of a tensor with many of them, stay untold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import Any

from mlship.bundle.rows.examples import Tensor
from mlship.config import Project

MOST_CATEGORIES = 32
_LONGEST = 64  # characters of a category
_DIGITS = {"FP16": 4, "FP32": 7}  # that are worth telling

Seen = Mapping[str, Mapping[str, Any]]  # by tensor: {"values": […]} or {"min": …, "max": …}


def of_inputs(project: Project, tensors: Iterable[Tensor]) -> Seen:
    """Of the raw columns, but for those that [schema] or [golden] leave out."""
    hidden = {name for name, column in project.schema.items() if not column.seen}
    return _seen(tensor for tensor in tensors if project.golden.seen and tensor["name"] not in hidden)


def of_reduced(project: Project, tensors: Iterable[Tensor]) -> Seen:
    """Of what a reduction made; nothing if a raw column is left out, which it may hold again."""
    told = project.reduction is not None and project.golden.seen
    return _seen(tensors if told and all(column.seen for column in project.schema.values()) else ())


def of_outputs(project: Project, tensors: Iterable[Tensor]) -> Seen:
    """Of the answers."""
    return _seen(tensors if project.golden.seen else ())


def hidden(project: Project) -> list[Any]:
    """What decides about all this."""
    return [project.golden.seen, sorted(name for name, column in project.schema.items() if not column.seen)]


def _seen(tensors: Iterable[Tensor]) -> Seen:
    found = {tensor["name"]: _of(tensor) for tensor in tensors}
    return {name: seen for name, seen in found.items() if seen}


def _of(tensor: Tensor) -> dict[str, Any]:
    kind: str = tensor["datatype"]
    known = [value for value in tensor["data"] if value is not None]
    if kind.startswith("FP"):
        return _range(known, _DIGITS.get(kind, 17))
    values = _categories(tensor)
    if values:
        return {"values": values}
    return {} if kind in ("BYTES", "BOOL") else _range(known, 0)


def _categories(tensor: Tensor) -> list[Any]:
    """The different values, if they are few, short, and none of them is one row's alone."""
    width, data = prod(tensor["shape"][1:]), tensor["data"]
    rows = [data] if width == 0 else [data[at : at + width] for at in range(0, len(data), width)]
    counts = Counter(value for row in rows for value in {value for value in row if value is not None})
    few = 0 < len(counts) <= MOST_CATEGORIES and min(counts.values()) > 1
    return sorted(counts) if few and all(len(str(value)) <= _LONGEST for value in counts) else []


def _range(values: Sequence[Any], digits: int) -> dict[str, Any]:
    if not values:
        return {}
    low, high = min(values), max(values)
    if digits:
        low, high = (float(f"{value:.{digits}g}") for value in (low, high))
    return {"min": low, "max": high}
