"""Values to records and back, for layouts made by chance."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any, NamedTuple

from sample_layouts import CODE_PAGES, made_layout, made_value

from mlship_runtime.records.form import RecordForm
from mlship_runtime.records.schema import Schema
from mlship_runtime.scoring.layout import lay_out
from mlship_runtime.scoring.record_rows import RecordRows
from mlship_runtime.scoring.record_writer import RecordWriter
from mlship_runtime.scoring.rows import listed


class Case(NamedTuple):
    """`rows` has a value for each column of each record; None where a table has no such element."""

    form: RecordForm
    columns: list[str]
    rows: list[dict[str, Any]]


def made_case(seed: int, records: int = 7, **limits: Any) -> Case:
    """The same for the same seed."""
    chance = random.Random(seed)
    odo = limits.pop("odo", chance.random() < 0.2)
    made = made_layout(chance, digits=limits.pop("digits", chance.choice((18, 31))), odo=odo, **limits)
    page = chance.choice((*CODE_PAGES, "ascii"))
    recfm = chance.choice(("vb", "vb-blocks")) if odo else chance.choice(("fb", "fb", "vb", "vb-blocks"))
    form = RecordForm(
        made.text,
        recfm=recfm,
        code_page=page,
        signs=chance.choice(("ebcdic", "ascii")),
        native=chance.choice(("big", "little")),
    )
    schema = Schema(form)
    rows = []
    for _ in range(records):
        row = {column: made_value(chance, schema.columns[column]) for column in schema.own_columns}
        if odo:
            row["cnt"] = Decimal(chance.randint(0, 5))
            row.update({name: None for name in row if name.startswith("t_") and int(name[-1]) >= row["cnt"]})
        rows.append(row)
    return Case(form, schema.own_columns, rows)


def written(case: Case) -> bytes:
    cells = [[row[column] for row in case.rows] for column in case.columns]
    return RecordWriter(case.form, (), case.columns).rows(cells, {})


def read(case: Case, data: bytes) -> list[dict[str, Any]]:
    layout = lay_out(list(Schema(case.form).columns), (), case.columns)
    rows = RecordRows(case.form, layout)(data, 1)
    assert not rows.bad, rows.bad
    columns = [listed(cells) for cells in rows.kept]
    return [dict(zip(case.columns, values, strict=True)) for values in zip(*columns, strict=True)]


def check_round_trip(seed: int) -> None:
    """Every value comes back, and the same bytes are written again."""
    case = made_case(seed)
    data = written(case)
    found = read(case, data)
    assert found == case.rows, f"seed {seed}\n{case.form.copybook}"
    assert written(case._replace(rows=found)) == data, f"seed {seed}"
