"""`mlship records`: what a copybook says; files of records, converted and checked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from mlship.errors import TargetError, UsageError
from mlship.ops.context import Context
from mlship.ops.foreground import as_error
from mlship.ops.record_forms import Said, record_form
from mlship.result import Result
from mlship_runtime.errors import BadInput
from mlship_runtime.records.describe import described
from mlship_runtime.records.schema import Schema
from mlship_runtime.records.write import copybook_of
from mlship_runtime.scoring.job import RECORDS, Job, format_of
from mlship_runtime.supervision.control import fault_of
from mlship_runtime.supervision.spawn import BOOT, clean_environment


class FieldShown(Result, frozen=True, kw_only=True):
    """`offset` counts from 0; `column` is what tables and schemas call it."""

    name: str
    column: str
    offset: int
    length: int
    kind: str
    picture: str
    digits: int
    scale: int
    signed: bool
    sign: str
    redefines: str
    depends: str


class Described(Result, frozen=True, kw_only=True):
    copybook: str
    record: str
    length: int
    shortest: int
    fields: tuple[FieldShown, ...]
    depending: tuple[dict[str, Any], ...]
    renames: tuple[dict[str, Any], ...]
    conditions: tuple[dict[str, Any], ...]


class Written(Result, frozen=True, kw_only=True):
    """A copybook made for a schema."""

    text: str


class Converted(Result, frozen=True, kw_only=True):
    rows_in: int
    rows_out: int
    rows_bad: int
    rows_before: int
    input: dict[str, str]
    output: dict[str, str]
    bad_rows: dict[str, str] | None
    columns: tuple[str, ...]
    seconds: float


class BadField(Result, frozen=True, kw_only=True):
    """`record` is the first one, from 1."""

    name: str
    bad: int
    record: int
    reason: str


class Total(Result, frozen=True, kw_only=True):
    name: str
    column: str
    kind: str
    total: str


class CheckedRecords(Result, frozen=True, kw_only=True):
    """`problem` is why the file could not be read to its end, `guesses` what was perhaps meant."""

    file: str
    ok: bool
    record: str
    length: int
    records: int
    records_bad: int
    problem: str
    fields: tuple[BadField, ...]
    guesses: tuple[str, ...]
    totals: tuple[Total, ...]
    compared: str
    differences: tuple[dict[str, str], ...]


def describe(ctx: Context, copybook: str, said: Said) -> Described:
    """Raises UsageError with line and column for a copybook that cannot be read."""
    found = described(Schema(record_form(ctx, copybook, said)))
    del found["schemaVersion"]
    return msgspec.convert({**found, "copybook": copybook}, Described)


def copybook(ctx: Context, ref: str | None, side: str, record: str) -> Written:
    """A copybook for the `inputs` or `outputs` of a bundle."""
    spec = ctx.open_bundle(ref).spec
    try:
        return Written(text=copybook_of(record or f"{spec.name}-{side}", getattr(spec, side)))
    except BadInput as fault:
        raise UsageError(fault.what, cause=fault.cause, fix=fault.fix) from fault


def convert(ctx: Context, job: Job, copybook: str, said: Said, backwards: bool) -> Converted:
    """Records to the format of `job.output`, or `backwards` from that of `job.input`."""
    form = record_form(ctx, copybook, said).document()
    try:
        other = format_of(*((job.input, job.inputFormat) if backwards else (job.output, job.outputFormat)))
    except BadInput as fault:
        raise UsageError(fault.what, cause=fault.cause, fix=fault.fix) from fault
    document = job.document()
    for name in ("input", "output", "bad", "report", "totals"):
        document[name] = absolute(document[name])
    if backwards:
        document.update(inputFormat=other, outputFormat=RECORDS, writes=form)
    else:
        document.update(inputFormat=RECORDS, outputFormat=other, reads=form)
    report = _run(ctx, {"verb": "convert", "job": json.loads(json.dumps(document))})
    return Converted(
        rows_in=report["rowsIn"],
        rows_out=report["rowsOut"],
        rows_bad=report["rowsBad"],
        rows_before=report["rowsBefore"],
        bad_rows=report["badRows"],
        columns=tuple(report["kept"]),
        **{name: report[name] for name in ("input", "output", "seconds")},
    )


def check(ctx: Context, file: str, copybook: str, said: Said, totals: str) -> CheckedRecords:
    """What is wrong is in the result; raises UsageError if something cannot be read."""
    form = record_form(ctx, copybook, said).document()
    words = {"verb": "check", "input": absolute(file), "form": form, "totals": absolute(totals)}
    report = _run(ctx, words)
    del report["schemaVersion"]
    ok = not (report["problem"] or report["fields"] or report["differences"])
    bad = report.pop("recordsBad")
    return msgspec.convert(
        {**report, "file": file, "ok": ok, "recordsBad": bad, "compared": totals}, CheckedRecords
    )


def absolute(path: str) -> str:
    return path if path in ("", "-") else os.path.abspath(path)  # noqa: PTH100  links stay


def _run(ctx: Context, words: dict[str, Any]) -> dict[str, Any]:
    """In a process of this Python with its packages: NumPy stays out of this one."""
    with tempfile.TemporaryDirectory(prefix="mlship-records-") as scratch:
        job = Path(scratch, "job.json")
        job.write_text(json.dumps({"schemaVersion": 1, **words}), encoding="utf-8")
        told, say = os.pipe()
        with os.fdopen(told, encoding="utf-8") as answers:
            run = subprocess.Popen(
                [sys.executable, "-I", "-B", str(BOOT), "records", "--job", str(job), "--say", str(say)],
                env=clean_environment(),
                pass_fds=(say,),
            )
            os.close(say)
            try:
                line = answers.readline()
                run.wait()
            finally:
                if run.poll() is None:
                    run.terminate()
                run.wait()
    if not line:
        raise TargetError("reading records ended early", cause=f"exit code {run.returncode}")
    answer = json.loads(line)
    if answer["ok"]:
        report: dict[str, Any] = answer["report"]
        return report
    fault = fault_of(answer["error"])
    if isinstance(fault, BadInput):
        raise UsageError(fault.what, cause=fault.cause, fix=fault.fix)
    raise as_error(fault)
