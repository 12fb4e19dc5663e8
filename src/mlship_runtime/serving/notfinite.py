"""Where a number stands that is none in JSON (NaN, Infinity) or beyond every float (1e999). The decoder of a
request refuses such a body without saying whose value it is; only then is it read once more, leniently."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from typing import Any, Callable, Optional

from mlship_runtime.errors import BadInput

Cell = tuple[str, int, Any]  # column, row, value

_LARGEST = 1.7976931348623157e308


def refusal(body: bytes, cells: Callable[[Any], Iterable[Cell]]) -> Optional[BadInput]:
    """What is wrong with `body`, if it is such a number in one of the `cells` of its document."""
    try:
        document = json.loads(body)
        for column, row, value in cells(document):
            for number in _flat(value):
                if isinstance(number, (int, float)) and not -_LARGEST <= number <= _LARGEST:
                    return _said(column, row, number)
    except (ValueError, RecursionError):
        return None  # that is not what is wrong: the caller tells what is
    return None


def tensor_cells(tensor: Any) -> Iterator[Cell]:
    """The values of a V2 tensor, flat or nested, with their rows."""
    data = tensor.get("data") if isinstance(tensor, dict) else None
    if not isinstance(data, list):
        return
    name, shape = tensor.get("name"), tensor.get("shape")
    sizes = shape[1:] if isinstance(shape, list) and all(type(size) is int for size in shape) else []
    width = max(1, math.prod(sizes)) if not any(isinstance(item, list) for item in data) else 1
    for at, value in enumerate(data):
        yield str(name), at // width, value


def table_cells(document: Any, only: str) -> Iterator[Cell]:
    """The values of an `/invocations` document; `only` is the name of the model's single input, if it has
    one."""
    if not isinstance(document, dict) or len(document) != 1:
        return
    ((form, content),) = document.items()
    if form == "inputs" and isinstance(content, dict):
        for name, values in content.items():
            for row, value in enumerate(values if isinstance(values, list) else ()):
                yield name, row, value
        return
    names: Any = ()
    if form == "dataframe_split" and isinstance(content, dict):
        names, content = content.get("columns") or (), content.get("data")
    for row, values in enumerate(content if isinstance(content, list) else ()):
        if isinstance(values, dict):
            yield from ((name, row, value) for name, value in values.items())
        elif isinstance(values, list) and len(names) == len(values):
            yield from ((str(name), row, value) for name, value in zip(names, values))
        else:
            yield only, row, values


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for item in value:
            yield from _flat(item)
    else:
        yield value


def _said(column: str, row: int, number: float) -> BadInput:
    if number != number:
        what = f"{column or 'the input'} is NaN in row {row}"
        return BadInput(what, field=column, cause="JSON has no NaN", fix="Send null for a missing value")
    return BadInput(f"{column or 'the input'} is infinite in row {row}", field=column)
