"""A chunk of JSON lines to rows: an object a line, with the inputs by their names; other names are let be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from mlship_runtime.bundle.spec import TensorSpec
from mlship_runtime.model.datatypes import EXACT_WHOLE
from mlship_runtime.scoring.cells import read_values
from mlship_runtime.scoring.rows import Bad, Rows, bad_row, without


class JsonRows:
    """Reads chunks of whole lines. Of a name that a line holds twice, the last value counts."""

    def __init__(self, inputs: Sequence[TensorSpec], keep: Sequence[str]) -> None:
        self._inputs, self._keep = tuple(inputs), tuple(keep)

    def __call__(self, data: bytes, first_line: int) -> Rows:
        found: list[dict[str, Any]] = []
        lines: list[int] = []
        texts: list[bytes] = []
        bad: list[Bad] = []
        for at, line in enumerate(data.split(b"\n")):
            if not line.strip():
                continue
            try:
                found.append(self._record(line))
                lines.append(first_line + at)
                texts.append(line)
            except _Faulty as fault:
                bad.append(
                    bad_row(first_line + at, fault.field, fault.reason, line.decode("utf-8", "replace"))
                )
        rows = Rows(
            len(found) + len(bad), {}, [], lines, lambda at: texts[at].decode("utf-8", "replace"), bad
        )
        rows.kept = [[record[name] for record in found] for name in self._keep]
        return columns_of(rows, self._inputs, {s.name: [r[s.name] for r in found] for s in self._inputs})

    def _record(self, line: bytes) -> dict[str, Any]:
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise _Faulty("", f"it is not JSON: {error}") from None
        if not isinstance(record, dict):
            raise _Faulty("", "it is not an object")
        for spec in self._inputs:
            if spec.name not in record:
                raise _Faulty(spec.name, "is missing")
        for name in self._keep:
            if name not in record:
                raise _Faulty(name, "is missing")
            value = record[name]
            if isinstance(value, float) and abs(value) >= EXACT_WHOLE:
                raise _Faulty(name, "is a number of more than 53 bits, which cannot be kept as it is")
        return record


def columns_of(rows: Rows, inputs: Sequence[TensorSpec], values: dict[str, list[Any]]) -> Rows:
    """`rows` with the columns that `values` give, and without those whose values are bad."""
    wrong: dict[int, tuple[str, str]] = {}
    if not len(rows.lines):
        return rows
    for spec in inputs:
        rows.columns[spec.name], faults = read_values(spec, values[spec.name])
        for at, reason in faults.items():
            wrong.setdefault(at, (spec.name, reason))
    return without(rows, wrong)


class _Faulty(Exception):
    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field, self.reason = field, reason
