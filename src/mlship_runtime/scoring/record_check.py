"""A file of records against its copybook: what is bad in it, and what was perhaps meant."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from mlship_runtime.errors import BadInput
from mlship_runtime.records.codepages import UNDEFINED, code_page
from mlship_runtime.records.control import added, sums_of
from mlship_runtime.records.form import FB, VB, VB_BLOCKS, RecordForm
from mlship_runtime.records.framing import Framing
from mlship_runtime.records.layout import WHOLE
from mlship_runtime.records.schema import Schema
from mlship_runtime.records.table import Table
from mlship_runtime.scoring.job import RECORDS, Job
from mlship_runtime.scoring.source import open_source
from mlship_runtime.scoring.totals import differences, read_totals, totals_of

_FIRST = 1 << 18  # bytes by which guesses are made
_PAGES = ("cp037", "cp1047", "cp273", "cp500", "cp1140", "ascii")
_BETTER = 0.02  # of the bytes must be likelier letters for another code page to be named
_ORDINARY = " .,-/&'()+:;_@#*"


def checked(path: str, form: RecordForm, totals: str = "") -> dict[str, Any]:
    """Read all of the file. `totals` names a document of control totals that it must have. What is wrong is
    told, not raised; raises BadInput if the file or the document cannot be read."""
    wanted = read_totals(totals) if totals else None
    schema = Schema(form)
    found = _Found(schema)
    problem = found.read(path)
    guesses = list(_guesses(path, schema, found, problem)) if problem or found.bad_fields else []
    document = totals_of(form, found.records, found.sums, {})
    return {
        "schemaVersion": 1,
        "record": schema.layout.record,
        "length": schema.length,
        "records": found.records,
        "recordsBad": found.bad_records,
        "problem": problem,
        "fields": list(found.bad_fields.values()),
        "guesses": guesses,
        "totals": document["fields"],
        "compared": totals,
        "differences": differences(document, wanted) if wanted and not problem else [],
    }


class _Found:
    """What reading a file shows. `bad_fields` has, by COBOL's name, how often and where first."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self.records = self.bad_records = 0
        self.bad_fields: dict[str, dict[str, Any]] = {}
        self.sums: dict[str, int] = {}

    def read(self, path: str) -> str:
        """Gives why it cannot be read to its end, if so."""
        form = self._schema.form
        try:
            os.stat(path)
        except OSError as error:
            raise BadInput(f"{path} cannot be read", cause=error.strerror or "") from error
        framing = Framing(form.recfm, self._schema.length)
        try:
            source = open_source(Job(path, "-", inputFormat=RECORDS, reads=form.document()))
            for chunk in source.chunks():
                self.take(Table(self._schema, framing.block(chunk.data, chunk.first_line)), chunk.first_line)
        except BadInput as fault:
            return str(fault)
        return ""

    def take(self, table: Table, first: int) -> None:
        count = table.block.count
        bad = np.zeros(count, bool)
        for at, (name, reason) in table.wrong.items():
            bad[at] = True
            self._note(name, 1, first + at, reason)
        for column in self._schema.own_columns:
            wrong = bad_in(table, column) & ~table.absent(column)
            if wrong.any():
                at = int(np.flatnonzero(wrong)[0])
                name = self._schema.columns[column].name
                self._note(name, int(wrong.sum()), first + at, table.reason(column, at))
                bad |= wrong
        self.records += count
        self.bad_records += int(bad.sum())
        self.sums = added(self.sums, sums_of(table))

    def _note(self, name: str, count: int, record: int, reason: str) -> None:
        blank = {"name": name, "bad": 0, "record": record, "reason": reason}
        self.bad_fields.setdefault(name, blank)["bad"] += count


def bad_in(table: Table, column: str) -> Any:
    """Which records have no good value in that field."""
    kind = table.schema.columns[column].kind
    if kind in WHOLE:
        return table.whole(column)[1]
    return table.texts(column)[1] if kind == "text" else np.isnan(table.floats(column))


def _guesses(path: str, schema: Schema, found: _Found, problem: str) -> Iterator[str]:
    with open(path, "rb") as file:
        data = file.read(_FIRST)
    form = schema.form
    for recfm in (FB, VB, VB_BLOCKS) if problem else ():
        if recfm != form.recfm and _frames(recfm, schema, data, os.path.getsize(path)):
            yield f"its records look like --recfm {recfm}"
    try:
        framing = Framing(form.recfm, schema.length)
        table = Table(schema, framing.block(data[: framing.whole(data)[0]]))
    except BadInput:
        return
    if not table.block.count:
        return
    yield from _page_guess(table)
    before = _bad(table)
    for word, other in _others(form):
        if before and _bad(Table(Schema(other), table.block)) < before // 10 + 1:
            yield word


def _frames(recfm: str, schema: Schema, data: bytes, size: int) -> bool:
    length = schema.layout.length
    if recfm == FB:
        return size % length == 0
    try:
        end, count = Framing(recfm, length).whole(data)
    except BadInput:
        return False
    return count > 0 and (end == len(data) or len(data) == _FIRST)


def _others(form: RecordForm) -> Iterator[tuple[str, RecordForm]]:
    """Forms that differ in one thing, as words."""
    if not form.page.ebcdic:
        signs = "ascii" if form.signs == "ebcdic" else "ebcdic"
        yield f"its signs look like signs = {signs!r}", replace(form, signs=signs)
    page = "ascii" if form.page.ebcdic else "cp037"
    yield f"its numbers look like --code-page {page}", replace(form, code_page=page)
    for old, new in (("LEADING", "TRAILING"), ("TRAILING", "LEADING")):
        if old in form.copybook.upper():
            text = form.copybook.upper().replace(old, new)
            yield f"its signs look {new.lower()}, not {old.lower()}", replace(form, copybook=text)


def _bad(table: Table) -> int:
    columns: Mapping[str, Any] = table.schema.columns
    return sum(int(bad_in(table, column).sum()) for column in table.schema.own_columns if columns[column])


def _page_guess(table: Table) -> Iterator[str]:
    """Another code page, if under it clearly more bytes of texts are letters, digits and blanks."""
    counts = np.zeros(256, np.int64)
    for column in table.schema.own_columns:
        if table.schema.columns[column].kind == "text":
            for block, field in table.spans(column):
                counts += np.bincount(block.bytes_at(field.offset, field.length).ravel(), minlength=256)
    if not counts.sum():
        return
    own = table.schema.form.page.name
    shares = {name: _likely(name, counts) for name in dict.fromkeys((own, *_PAGES))}
    best = max(shares, key=lambda name: shares[name])
    if shares[best] > shares[own] + _BETTER:
        yield f"its texts look like --code-page {best}, not {own}"


def _likely(name: str, counts: Any) -> float:
    letters = code_page(name).characters
    good = [c != UNDEFINED and (c.isalnum() or c in _ORDINARY) for c in letters]
    return float(counts[good].sum() / counts.sum())
