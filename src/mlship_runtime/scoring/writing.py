"""Answers to bytes: CSV or JSON lines, numbers as the shortest text that reads back equal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import numpy as np
import orjson

from mlship_runtime.bundle.spec import TensorSpec
from mlship_runtime.model.datatypes import Array
from mlship_runtime.scoring.rows import listed

_NUMPY = orjson.OPT_SERIALIZE_NUMPY
_SPECIAL = ('"', "\r", "\n")


class CsvWriter:
    """A missing or not-a-number value is an empty field; infinities are `inf` and `-inf`."""

    control: Mapping[str, int] = MappingProxyType({})

    def __init__(self, outputs: Sequence[TensorSpec], delimiter: str) -> None:
        self._outputs, self._delimiter = tuple(outputs), delimiter

    def rows(self, kept: Sequence[Sequence[Any]], results: Mapping[str, Array]) -> bytes:
        """One line for each row; never an empty one, which readers of CSV take for no row at all."""
        columns = [self._quoted([plain(value) for value in listed(cells)]) for cells in kept]
        columns += [self._fields(results[spec.name]) for spec in self._outputs]
        lines = map(self._delimiter.join, zip(*columns))
        return "".join((line or '""') + "\n" for line in lines).encode("utf-8")

    def header(self, names: Sequence[str]) -> bytes:
        return (self._delimiter.join(self._quoted(list(names))) + "\n").encode("utf-8")

    def _fields(self, array: Array) -> list[str]:
        """The fields of each row; several in one text where the output has several columns."""
        flat = array.reshape(len(array), -1)
        if flat.dtype.kind in "OUS":
            texts = [self._quoted([plain(value) for value in row]) for row in flat.T.tolist()]
            return texts[0] if len(texts) == 1 else list(map(self._delimiter.join, zip(*texts)))
        if flat.dtype.kind == "f" and np.isinf(flat).any():
            return [self._delimiter.join(map(plain, row)) for row in flat.tolist()]
        text = orjson.dumps(np.ascontiguousarray(flat), option=_NUMPY).decode("ascii")
        if "null" in text:
            text = text.replace("null", "")
        rows = text[2:-2].split("],[")
        if self._delimiter != "," and flat.shape[1] > 1:
            return [row.replace(",", self._delimiter) for row in rows]
        return rows

    def _quoted(self, cells: list[str]) -> list[str]:
        """Quoted where it must be, so that every reader of CSV gets the same text back."""
        joined = "".join(cells)
        if not any(sign in joined for sign in (*_SPECIAL, self._delimiter)):
            return cells
        return [
            '"' + cell.replace('"', '""') + '"'
            if any(sign in cell for sign in (*_SPECIAL, self._delimiter))
            else cell
            for cell in cells
        ]


class JsonWriter:
    """An object a line, outputs of several dimensions as nested lists; what JSON cannot say is null."""

    control: Mapping[str, int] = MappingProxyType({})

    def __init__(self, outputs: Sequence[TensorSpec], keep: Sequence[str]) -> None:
        self._outputs = tuple(outputs)
        names = [*keep, *(spec.name for spec in outputs)]
        shown = [orjson.dumps(name).decode("utf-8").replace("%", "%%") for name in names]
        self._form = "{" + ",".join(f"{name}:%s" for name in shown) + "}\n"

    def rows(self, kept: Sequence[Sequence[Any]], results: Mapping[str, Array]) -> bytes:
        """One line for each row."""
        columns = [[json_text(value) for value in listed(cells)] for cells in kept]
        columns += [_json_cells(results[spec.name]) for spec in self._outputs]
        return "".join(map(self._form.__mod__, zip(*columns))).encode("utf-8")

    def header(self, names: Sequence[str]) -> bytes:
        return b""


def plain(value: Any) -> str:
    """One value as a field of CSV, not quoted."""
    if isinstance(value, str):
        return value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and math.isinf(value):
        return "inf" if value > 0 else "-inf"
    if isinstance(value, Decimal):
        return f"{value:f}"
    return str(value) if not isinstance(value, (bool, int, float, list, dict)) else json_text(value)


def json_text(value: Any) -> str:
    """One value as JSON; of a type that JSON has not, its text."""
    return orjson.dumps(value, default=_in_json).decode("utf-8")


def _in_json(value: Any) -> Any:
    return orjson.Fragment(f"{value:f}") if isinstance(value, Decimal) else str(value)


def _json_cells(array: Array) -> list[str]:
    if array.dtype.kind in "OUS":
        return [orjson.dumps(value).decode("utf-8") for value in array.tolist()]
    if array.ndim > 2:
        return [orjson.dumps(np.ascontiguousarray(part), option=_NUMPY).decode("ascii") for part in array]
    text = orjson.dumps(np.ascontiguousarray(array), option=_NUMPY).decode("ascii")
    if array.ndim == 1:
        return text[1:-1].split(",")
    return [f"[{row}]" for row in text[2:-2].split("],[")]
