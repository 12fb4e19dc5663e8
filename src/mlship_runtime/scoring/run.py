"""One run: chunks in, answers out in their order, and now and then a checkpoint, from which the next run of
the same job goes on. Bytes beyond the last checkpoint are cut off then: no row is there twice or missing."""

from __future__ import annotations

import glob
import json
import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Optional, Union

from mlship_runtime.bundle import canonical
from mlship_runtime.errors import BadInput
from mlship_runtime.files import site_error, write_atomic
from mlship_runtime.scoring.job import PARQUET, RECORDS, STREAM, Job
from mlship_runtime.scoring.journal import (
    Journal,
    Piece,
    check_same,
    journal_path,
    read_journal,
    write_journal,
)
from mlship_runtime.scoring.part import PartFile, StreamOut
from mlship_runtime.scoring.report import report_of
from mlship_runtime.scoring.rows import Bad, Scored
from mlship_runtime.scoring.source import Chunk, Source
from mlship_runtime.scoring.workers import Scorers

Say = Callable[[Journal], None]
Out = Union[PartFile, StreamOut]


def _bad_line(row: Bad) -> bytes:
    """A bad row as a line of JSON."""
    return canonical.encode(dict(zip(Bad._fields, row))) + b"\n"


class Stopped(BaseException):
    """The run was asked to end; what is done has been kept."""


class Run:
    """`titles` is the output's first bytes; `ignored` are columns that are not read;
    `stop` is asked after each chunk whether to end."""

    def __init__(
        self,
        job: Job,
        bundle: str,
        source: Source,
        titles: bytes,
        ignored: Sequence[str] = (),
        stdout: int = 1,
        say: Say = lambda journal: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self._job, self._source, self._titles, self._stdout = job, source, titles, stdout
        self._say, self._stop = say, stop
        known = {"path": job.input, "bytes": source.size}
        self._done = Journal(bundle, job.settings_digest(), known, job.bad)
        self._path = journal_path(job)
        self._ignored = tuple(ignored)
        self.begun_at = 0  # rows that a run before this one had done
        self.report: dict[str, Any] = {}

    def run(self, scorers: Scorers) -> Journal:
        """Score what is left to be scored and put the files under their names; raises BadInput for a row too
        many that is bad, SiteError for what cannot be written, Stopped. `scorers` stay open."""
        self.check_free()
        out = self._open_output()
        bad = PartFile(self._job.bad) if self._job.bad else None
        try:
            before = self._resumed(out)
            if before is not None and before.complete:
                self._done = before
                return self._finished(out, bad)
            self._start(out, bad, before)
            self._loop(scorers, out, bad)
            self._source.finish()
            self._checkpoint(out, bad, complete=True)
            return self._finished(out, bad)
        finally:
            out.close()
            if bad is not None:
                bad.close()

    def check_free(self) -> None:
        """Raise BadInput if a file that is there already would be lost."""
        job = self._job
        before = read_journal(self._path) if job.resumable and not job.fresh else None
        if job.force or (before is not None and before.complete):  # then it may be what that run put there
            return
        for path in job.written:
            if path not in ("", STREAM) and os.path.lexists(path):
                raise BadInput(f"{path} is there already", fix="Add --force to replace it")

    def _open_output(self) -> Out:
        return StreamOut(self._stdout) if self._job.output == STREAM else PartFile(self._job.output)

    def _resumed(self, out: Out) -> Optional[Journal]:
        """What an earlier run of this job has done; None to begin at the beginning."""
        if not self._job.resumable or self._job.fresh:
            self._forget()
            return None
        before = read_journal(self._path)
        if before is None:
            return None
        check_same(before, self._done)
        self._source.start(before.place, before.read)
        before.bad_file, before.input = self._job.bad, self._done.input
        self.begun_at = before.seen
        return before

    def _start(self, out: Out, bad: Optional[PartFile], before: Optional[Journal]) -> None:
        if before is not None:
            self._done = before
        self._since = time.monotonic() - self._done.seconds
        out.start(self._done.output.size, self._done.output.sha256)
        if bad is not None:
            bad.start(self._done.bad_rows.size, self._done.bad_rows.sha256)
        if before is None:
            out.write(self._titles)
            self._done.place, self._done.read = self._source.place, self._source.digest()

    def _loop(self, scorers: Scorers, out: Out, bad: Optional[PartFile]) -> None:
        told = time.monotonic()
        try:
            for chunk, scored in scorers.score(self._source.chunks()):
                self._take(chunk, scored, out, bad)
                if self._stop():
                    raise Stopped
                if time.monotonic() - told >= self._job.checkpoint:
                    self._checkpoint(out, bad)
                    told = time.monotonic()
                self._say(self._done)
        except (BadInput, Stopped):
            self._checkpoint(out, bad)
            raise

    def _take(self, chunk: Chunk, scored: Scored, out: Out, bad: Optional[PartFile]) -> None:
        """Write one chunk's answers; raises BadInput for a bad row too many, and nothing of it is written."""
        done = self._done
        if done.bad + len(scored.bad) > self._job.maxBad:
            raise self._too_bad(scored.bad[self._job.maxBad - done.bad])
        out.write(scored.data)
        if bad is not None and scored.bad:
            bad.write(b"".join(_bad_line(row) for row in scored.bad))
        done.seen += scored.seen
        done.good += scored.good
        done.bad += len(scored.bad)
        for name, (number, missing) in scored.totals.items():
            total, gone = done.totals.get(name, [0, 0])
            total = None if total is None or number is None else total + number
            done.totals[name] = [
                total if total is None or math.isfinite(total) else None,
                (gone or 0) + missing,
            ]
        for column, amount in scored.control.items():
            done.control[column] = done.control.get(column, 0) + amount
        done.place, done.read = chunk.end, chunk.digest

    def _too_bad(self, row: Bad) -> BadInput:
        kind = {PARQUET: "row", RECORDS: "record"}.get(self._job.inputFormat, "line")
        name = "stdin" if self._job.input == STREAM else os.path.basename(self._job.input)
        where = f"{name}, {kind} {row.line}"
        if row.field:
            where += f", {row.field}"
        fix = "Mend it, or let some be bad with --max-bad N --bad FILE"
        if self._job.maxBad:
            where = f"more than {self._job.maxBad} bad rows: {where}"
            fix = "Give --max-bad a larger number to go on"
        return BadInput(f"{where}: {row.reason}", field=row.field, fix=fix)

    def _checkpoint(self, out: Out, bad: Optional[PartFile], complete: bool = False) -> None:
        done = self._done
        done.seconds = time.monotonic() - self._since
        done.output = Piece(out.size, out.digest())
        if bad is not None:
            done.bad_rows = Piece(bad.size, bad.digest())
        done.complete = complete
        if not self._job.resumable:
            return
        out.sync()
        if bad is not None:
            bad.sync()
        write_journal(self._path, done)

    def _finished(self, out: Out, bad: Optional[PartFile]) -> Journal:
        """Everything is durable: put it under its names. Done again after a kill, it ends the same."""
        done = self._done
        if bad is not None:
            bad.settle(done.bad_rows.size, done.bad_rows.sha256)
        if self._job.outputFormat == PARQUET and isinstance(out, PartFile):
            from mlship_runtime.scoring.parquet import whole_file

            out.settle(done.output.size, done.output.sha256, whole_file)
        else:
            out.settle(done.output.size, done.output.sha256)
        self.report = report_of(self._job, done, out.final_digest(), self._ignored, self.begun_at)
        if self._job.report:
            self._write_report()
        if self._job.totals:
            from mlship_runtime.scoring.totals import write_totals

            write_totals(self._job, done, self.report)
        self._forget()
        return done

    def _write_report(self) -> None:
        path = Path(self._job.report)
        try:
            write_atomic(path, json.dumps(self.report, indent=1).encode() + b"\n", 0o644)
        except OSError as error:
            raise site_error(f"{path} cannot be written", error) from error

    def _forget(self) -> None:
        """Take the journal away, and what a kill left of files in the making."""
        if not self._job.resumable:
            return
        for path in map(Path, filter(None, (str(self._path), *self._job.written[2:]))):
            for stray in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
                stray.unlink(missing_ok=True)
        self._path.unlink(missing_ok=True)
