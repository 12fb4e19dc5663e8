"""`mlship score`: a file of rows to a file of answers, by a bundle's own runtime on this machine."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlship.config.folders import cache_dir
from mlship.errors import EXIT_INTERRUPTED, MlshipError, TargetError, UsageError
from mlship.ops.context import Context
from mlship.ops.foreground import as_error, passed_on
from mlship.ops.record_forms import NOTHING_SAID, Said, record_form
from mlship.ops.unpacked import unpacked_here
from mlship.result import Result
from mlship_runtime.errors import BadInput
from mlship_runtime.scoring.job import PARQUET, RECORDS, STREAM, Job, format_of, job_of
from mlship_runtime.supervision.control import fault_of
from mlship_runtime.supervision.spawn import BOOT, clean_environment, python_command


class Scored(Result, frozen=True, kw_only=True):
    """What a run did. `totals` has the sum and the number of missing values of each output of numbers;
    `rows_before` were done by a run that was interrupted."""

    reference: str
    bundle: str
    rows_in: int
    rows_out: int
    rows_bad: int
    rows_before: int
    input: dict[str, str]
    output: dict[str, str]
    bad_rows: dict[str, str] | None
    totals: dict[str, dict[str, float | None]]
    kept: tuple[str, ...]
    ignored: tuple[str, ...]
    workers: int
    seconds: float
    rows_per_second: int


def score(
    ctx: Context, ref: str | None, job: Job, copybooks: tuple[str, str] = ("", ""), said: Said = NOTHING_SAID
) -> Scored:
    """Score what `job` names with the bundle `ref`; paths may be relative, the formats are those of files
    whose suffix does not tell, and no workers mean one for each processor. An interrupted run goes on.
    `copybooks` are those of records, in and out, and `said` is said of both.

    Raises UsageError for rows and words that are wrong, BundleError for damaged layers, TargetError if the
    bundle does not run here or a file cannot be written.
    """
    try:
        job = job_of(json.loads(json.dumps(_here(_with_records(ctx, job, copybooks, said)).document())))
    except BadInput as fault:
        raise UsageError(fault.what, cause=fault.cause, fix=fault.fix) from fault
    bundle = ctx.open_bundle(ref)
    if not job.resumable:
        ctx.progress.say("a stream cannot be gone on with: if this is interrupted, it begins anew")
    with tempfile.TemporaryDirectory(prefix="mlship-score-") as scratch:
        record, python = unpacked_here(ctx, bundle, Path(scratch))
        release, words = Path(scratch, "release.json"), Path(scratch, "job.json")
        release.write_text(json.dumps(record), encoding="utf-8")
        words.write_text(json.dumps(job.document()), encoding="utf-8")
        command = [*python_command(python, cache_dir() / "pycache"), str(BOOT), "score"]
        report = _run(ctx, [*command, "--release", str(release), "--job", str(words)])
    names = ("bundle", "input", "output", "totals", "workers", "seconds")
    return Scored(
        reference=str(bundle.reference),
        rows_in=report["rowsIn"],
        rows_out=report["rowsOut"],
        rows_bad=report["rowsBad"],
        rows_before=report["rowsBefore"],
        bad_rows=report["badRows"],
        kept=tuple(report["kept"]),
        ignored=tuple(report["ignored"]),
        rows_per_second=report["rowsPerSecond"],
        **{name: report[name] for name in names},
    )


def _with_records(ctx: Context, job: Job, copybooks: tuple[str, str], said: Said) -> Job:
    reads, writes = copybooks
    if reads:
        form = record_form(ctx, reads, said, others=(writes,))
        job = replace(job, inputFormat=RECORDS, reads=form.document())
    if writes:
        form = record_form(
            ctx, writes, Said(code_page=said.code_page, recfm=said.recfm, names=said.names), others=(reads,)
        )
        job = replace(job, outputFormat=RECORDS, writes=form.document())
    return job


def _here(job: Job) -> Job:
    """`job` with absolute paths, its formats settled, and pyarrow where it is needed."""
    kinds = (
        RECORDS if job.reads else format_of(job.input, job.inputFormat),
        RECORDS if job.writes else format_of(job.output, job.outputFormat),
    )
    packages = ""
    if PARQUET in kinds:
        found = importlib.util.find_spec("pyarrow")
        if found is not None and found.origin:
            packages = str(Path(found.origin).parents[1])
    return replace(
        job,
        input=_absolute(job.input),
        output=_absolute(job.output),
        bad=_absolute(job.bad),
        report=_absolute(job.report),
        totals=_absolute(job.totals),
        inputFormat=kinds[0],
        outputFormat=kinds[1],
        packages=packages,
    )


def _absolute(path: str) -> str:
    return path if path in ("", STREAM) else os.path.abspath(path)  # noqa: PTH100  links stay


def _run(ctx: Context, command: list[str]) -> dict[str, Any]:
    """The report of the run; its standard input and output are this process's own."""
    told, say = os.pipe()
    with os.fdopen(told, encoding="utf-8") as words:
        run = subprocess.Popen(
            [*command, "--say", str(say)],
            env=clean_environment(),
            cwd="/",
            pass_fds=(say,),
            process_group=0,  # a terminal's Ctrl-C reaches this process, which passes it on once
        )
        os.close(say)
        try:
            with passed_on(run) as asked:
                last = _follow(ctx, words)
                code = run.wait()
        finally:
            if run.poll() is None:
                run.terminate()
            run.wait()
    if last is None:
        if asked:
            raise KeyboardInterrupt
        how = f"exit code {code}" if code >= 0 else f"signal {-code}"
        raise TargetError("scoring ended early", cause=how, fix="The same command goes on where it stopped")
    if last["ok"]:
        report: dict[str, Any] = last["report"]
        return report
    if code == EXIT_INTERRUPTED:
        raise _Interrupted("interrupted", fix=last["error"]["fix"])
    fault = fault_of(last["error"])
    if isinstance(fault, BadInput):
        raise UsageError(fault.what, cause=fault.cause, fix=fault.fix)
    raise as_error(fault)


def _follow(ctx: Context, words: Iterable[str]) -> dict[str, Any] | None:
    """Show how far the run is; gives its last word, None if it ended without one."""
    done, last = 0, None
    for line in words:
        said = json.loads(line)
        if "ok" in said:
            last = said
            continue
        if not done:
            ctx.progress.phase("scoring", said["of"], unit="bytes")
        ctx.progress.advance(said["done"] - done)
        done = said["done"]
    return last


class _Interrupted(MlshipError):
    exit_code = EXIT_INTERRUPTED
    kind = "interrupted"
