"""How copybooks and files of records look."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mlship.cli.blocks import Block, Facts, Line, Table

if TYPE_CHECKING:
    from mlship.ops.records import CheckedRecords, Converted, Described, FieldShown, Written


def described(result: Described) -> Iterator[Block]:
    size = f"{result.length} bytes"
    if result.shortest != result.length:
        size = f"{result.shortest} to {result.length} bytes"
    yield Line(f"{result.record}: {size}")
    head = ("offset", "length", "field", "type", "picture", "column")
    yield Table("", head, [_row(field) for field in result.fields])
    facts = [(str(x["name"]), f"{x['least']} to {x['most']} times") for x in result.depending]
    facts += [
        (str(x["name"]), f"bytes {x['offset']} to {x['offset'] + x['length'] - 1}") for x in result.renames
    ]
    facts += [(str(x["name"]), f"{x['of']} is {', '.join(x['values'])}") for x in result.conditions]
    if facts:
        yield Facts(facts)


def written(result: Written) -> Iterator[Block]:
    for line in result.text.splitlines():
        yield Line(line)


def converted(result: Converted) -> Iterator[Block]:
    bad = f", {result.rows_bad} bad" if result.rows_bad else ""
    yield Line(f"{result.rows_out} of {result.rows_in} records converted{bad}")
    rows = [("output", result.output["path"]), ("sha256", result.output["sha256"])]
    if result.bad_rows is not None:
        rows.append(("bad rows", result.bad_rows["path"]))
    if result.rows_before:
        rows.append(("gone on after", f"{result.rows_before} rows"))
    yield Facts(rows)


def checked(result: CheckedRecords) -> Iterator[Block]:
    bad = f", {result.records_bad} bad" if result.records_bad else ""
    yield Line(f"{result.file}: {result.records} records of {result.length} bytes{bad}")
    if result.problem:
        yield Line(f"wrong: {result.problem}")
    for field in result.fields:
        where = f"{field.name} in {field.bad} records, first in record {field.record}"
        yield Line(f"wrong: {where}: {field.reason}")
    for one in result.differences:
        what = f"the total of {one['field']}" if one["field"] else "the number of records"
        yield Line(f"wrong: {what} is {one['found']}, {result.compared} says {one['wanted']}")
    for guess in result.guesses:
        yield Line(f"perhaps: {guess}")
    if result.problem:
        return
    if result.compared and not result.differences:
        yield Line(f"the control totals are those of {result.compared}")
    kinds = {"sum": "sum of", "hash": "hash of"}
    yield Facts([(f"{kinds[total.kind]} {total.name}", total.total) for total in result.totals])


def _row(field: FieldShown) -> tuple[str, ...]:
    kind = f"{field.kind}, sign {field.sign}" if field.sign not in ("", "trailing") else field.kind
    if field.redefines:
        kind += f", in {field.redefines}"
    return (str(field.offset), str(field.length), field.name, kind, field.picture, field.column)
