"""Control totals in files of their own: a document for people, and records that a COBOL program reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from mlship_runtime.errors import BadInput
from mlship_runtime.files import site_error, write_atomic
from mlship_runtime.records.exact import with_point, without_point
from mlship_runtime.records.form import RecordForm, form_of
from mlship_runtime.records.layout import WHOLE
from mlship_runtime.records.schema import Schema
from mlship_runtime.scoring.job import Job
from mlship_runtime.scoring.journal import Journal

SCHEMA = 1
_LOW, _HIGH = 10**18, 10**31
# 80 bytes, texts only, so that it may be converted as text on the way.
COPYBOOK = """\
       01  CONTROL-TOTAL.
           05  CT-KIND             PIC X(1).
               88  CT-RECORDS      VALUE 'R'.
               88  CT-SUM          VALUE 'S'.
               88  CT-HASH         VALUE 'H'.
           05  CT-FIELD            PIC X(30).
           05  CT-SCALE            PIC S9(2) SIGN LEADING SEPARATE.
           05  CT-BEYOND           PIC 9(13).
           05  CT-TOTAL            PIC S9(18) SIGN LEADING SEPARATE.
           05  FILLER              PIC X(14).
"""


def totals_of(
    form: RecordForm, records: int, control: Mapping[str, int], about: Mapping[str, Any]
) -> dict[str, Any]:
    """The document: how many records, and of each field its sum as a decimal, or its hash total."""
    schema = Schema(form)
    return {
        "schemaVersion": SCHEMA,
        **about,
        "record": schema.layout.record,
        "records": records,
        "fields": [
            {
                "name": schema.columns[column].name,
                "column": column,
                "kind": "sum" if schema.columns[column].kind in WHOLE else "hash",
                "total": f"{with_point(control.get(column, 0), _scale(schema, column)):f}",
            }
            for column in schema.own_columns
        ],
    }


def write_totals(job: Job, done: Journal, report: Mapping[str, Any]) -> None:
    """Put both files in place; raises SiteError."""
    form = form_of(job.writes)
    about = {
        "recordsIn": done.seen,
        "recordsBad": done.bad,
        "input": {"sha256": report["input"]["sha256"]},
        "output": {"bytes": done.output.size, "sha256": report["output"]["sha256"]},
    }
    document = totals_of(form, done.good, done.control, about)
    path = Path(job.totals)
    for place, data in (
        (path, json.dumps(document, indent=1).encode() + b"\n"),
        (path.with_suffix(".dat"), as_records(document, form)),
    ):
        try:
            write_atomic(place, data, 0o644)
        except OSError as error:
            raise site_error(f"{place} cannot be written", error) from error


def as_records(document: Mapping[str, Any], form: RecordForm) -> bytes:
    """The same as records of `COPYBOOK`, in the code page of `form`."""
    lines = [("R", document["record"], Decimal(document["records"]))]
    kinds = {"sum": "S", "hash": "H"}
    lines += [(kinds[field["kind"]], field["name"], Decimal(field["total"])) for field in document["fields"]]
    known = form.page.bytes_of()
    return b"".join(bytes(known[letter] for letter in _line(*line)) for line in lines)


def read_totals(path: str) -> dict[str, Any]:
    """Raises BadInput for what is no such document."""
    try:
        document = json.loads(Path(path).read_bytes())
        if document["schemaVersion"] != SCHEMA:
            raise BadInput(f"{path} was made by another mlship", cause=f"version {document['schemaVersion']}")
        for field in document["fields"]:
            Decimal(field["total"]), str(field["column"])
        int(document["records"])
    except (OSError, ValueError, KeyError, TypeError, ArithmeticError) as error:
        raise BadInput(f"{path} holds no control totals", cause=str(error)) from error
    found: dict[str, Any] = document
    return found


def differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[dict[str, str]]:
    """Where two documents differ in what they count."""
    differing = []
    if found["records"] != wanted["records"]:
        differing.append({"field": "", "found": str(found["records"]), "wanted": str(wanted["records"])})
    there = {field["column"]: field["total"] for field in found["fields"]}
    for field in wanted["fields"]:
        total = there.pop(field["column"], None)
        if total is None or Decimal(total) != Decimal(field["total"]):
            differing.append({"field": field["name"], "found": str(total), "wanted": str(field["total"])})
    differing += [{"field": column, "found": str(total), "wanted": "None"} for column, total in there.items()]
    return differing


def _scale(schema: Schema, column: str) -> int:
    return schema.columns[column].scale


def _line(kind: str, name: str, total: Decimal) -> str:
    whole, scale = without_point(total)
    size = abs(whole) % _HIGH
    sign = "-" if whole < 0 else "+"
    text = f"{kind}{name[:30]:<30}{scale:+03d}{size // _LOW:013d}{sign}{size % _LOW:018d}"
    return f"{text:<80}"
