"""Control totals: sums over the fields of a file, by which others can tell that they have the same file.

Of a number the sum at its scale, exactly. Of a text a hash total: over all records, each byte times its
place in the field, from 1. A program in COBOL can work out both.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mlship_runtime.records.layout import WHOLE
from mlship_runtime.records.table import Table

Sums = dict[str, int]
_QUICK = 14  # digits of which 10,000 records sum up in an int64


def sums_of(table: Table) -> Sums:
    """By column, for the first view of each field: numbers without their point. What is bad is 0."""
    found: Sums = {}
    for column in table.schema.own_columns:
        field = table.schema.columns[column]
        if field.kind in WHOLE:
            whole, _ = table.whole(column)
            quick = field.digits <= _QUICK and len(whole) < 10_000
            found[column] = int(whole.sum()) if quick else sum(whole.tolist())
        elif field.kind == "text":
            found[column] = _hash_total(table, column)
    return found


def added(before: Mapping[str, int], more: Mapping[str, int]) -> Sums:
    return {name: before.get(name, 0) + more.get(name, 0) for name in {**before, **more}}


def _hash_total(table: Table, column: str) -> int:
    total = 0
    for block, field in table.spans(column):
        per_place = block.bytes_at(field.offset, field.length).sum(axis=0, dtype=np.int64)
        total += int(per_place @ np.arange(1, field.length + 1, dtype=np.int64))
    return total
