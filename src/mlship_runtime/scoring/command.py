"""`boot.py score` and `boot.py scorer`: a release scores files, in this process or in several of its own.

What it says goes to the descriptor `--say`, a JSON object a line: {"rows", "done", "of"} now and then, in the
end {"ok": true, "report"} or {"ok": false, "error"}; without it, plain lines go to standard error.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any, Optional

from mlship_runtime.bundle.tree import open_tree
from mlship_runtime.bundle.verify import verify_tree
from mlship_runtime.capacity import worker_count
from mlship_runtime.errors import InvalidBundle, RuntimeFault, SiteError
from mlship_runtime.scoring.job import PARQUET, Job, read_job
from mlship_runtime.scoring.part import take_stdout
from mlship_runtime.supervision.control import fault_data
from mlship_runtime.supervision.launch import BOOT, check_machine, own_command
from mlship_runtime.supervision.loading import load
from mlship_runtime.supervision.release_record import read_record
from mlship_runtime.supervision.spawn import python_command

INTERRUPTED = 130
_OWN_ROOM = "runtime/any/mlship_runtime/scoring/command.py"
_PAUSE, _LINE_PAUSE = 0.2, 10.0  # seconds between two words about how far it is


def main(release: str, job_file: str, say: str = "", verified: str = "") -> int:
    """Do the job with the release: first verify it, then become its own code. Returns the exit code."""
    voice = _Voice(int(say) if say else None)
    try:
        record, job = read_record(Path(release)), read_job(job_file)
        if not verified:
            _check_able(record)
            options = ["--release", release, "--job", job_file, *(["--say", say] if say else [])]
            command = own_command(record, sys.pycache_prefix, "score", options)
            os.execv(command[0], command)  # noqa: S606  no shell: the interpreter that runs this
        check_machine(record)
        return _score(record, job, voice, verified, _worker_command(record, release, job_file))
    except RuntimeFault as fault:
        voice.failed(fault)
        return fault.exit_code


def _score(record: Mapping[str, Any], job: Job, voice: _Voice, verified: str, workers: Sequence[str]) -> int:
    stdout = take_stdout()
    tree = open_tree(record)
    if verified != tree.digest:
        verify_tree(tree)
    _provide(tree.search_path(record["platform"]), job)
    from mlship_runtime.scoring.opening import opened, settled, titles_of
    from mlship_runtime.scoring.run import Run, Stopped

    job = settled(job, tree.spec)
    opening = opened(job, tree.spec)
    job = replace(job, workers=_useful_workers(job, opening.source.total))
    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _note(asked))
    run = Run(
        job,
        tree.digest,
        opening.source,
        titles_of(job, tree.spec, opening),
        opening.ignored,
        stdout,
        voice.progress(opening.source.total),
        lambda: bool(asked),
    )
    run.check_free()
    scorers = _scorers(record, tree.digest, job, opening.header, workers)
    try:
        run.run(scorers)
    except Stopped:
        voice.failed(SiteError("interrupted", fix=_how_to_go_on(job)))
        return INTERRUPTED
    finally:
        scorers.close()
    voice.done(run.report)
    return 0


def _useful_workers(job: Job, total: Optional[int]) -> int:
    """No more than there are processors, unless more are asked for, or chunks."""
    most = worker_count(job.workers)
    if total is None:
        return most
    return max(1, min(most, -(-total // (job.chunkRows if job.inputFormat == PARQUET else job.chunkBytes))))


def _scorers(
    record: Mapping[str, Any], verified: str, job: Job, header: Sequence[str], command: Sequence[str]
) -> Any:
    """Whoever scores, loaded and proved by the golden examples."""
    from mlship_runtime.scoring.workers import Alone, Pool

    if job.workers > 1:
        return Pool([*command, "--verified", verified], job.workers, header)
    pipeline = load(record, verified, threads=job.threads)
    from mlship_runtime.scoring.forms import scorer_for

    return Alone(scorer_for(job, pipeline.spec, header, pipeline.predict))


def work(release: str, job_file: str, verified: str) -> int:
    """A worker process: chunks come on standard input, and answers go where standard output was."""
    from mlship_runtime.scoring.workers import attend

    def loaded(header: Sequence[str]) -> Any:
        record, job = read_record(Path(release)), read_job(job_file)
        pipeline = load(record, verified, threads=job.threads)
        _provide((), job)
        from mlship_runtime.scoring.forms import scorer_for
        from mlship_runtime.scoring.opening import settled

        return scorer_for(settled(job, pipeline.spec), pipeline.spec, header, pipeline.predict)

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is the run's to answer
    with os.fdopen(take_stdout(), "wb") as answers:
        return attend(sys.stdin.buffer, answers, loaded)


class _Voice:
    def __init__(self, descriptor: Optional[int]) -> None:
        self._descriptor, self._told = descriptor, time.monotonic()

    def progress(self, total: Optional[int]) -> Callable[[Any], None]:
        def say(done: Any) -> None:
            pause = _LINE_PAUSE if self._descriptor is None else _PAUSE
            if time.monotonic() - self._told >= pause:
                self._told = time.monotonic()
                self._say({"rows": done.seen, "done": done.place.position, "of": total})

        return say

    def done(self, report: Mapping[str, Any]) -> None:
        self._say({"ok": True, "report": report})

    def failed(self, fault: RuntimeFault) -> None:
        if self._descriptor is None:
            sys.stderr.write(f"{fault}\n")
        else:
            self._say({"ok": False, "error": fault_data(fault)})

    def _say(self, message: Mapping[str, Any]) -> None:
        """Raises SiteError if nobody listens any more: whoever asked for this has gone."""
        if self._descriptor is None:
            sys.stderr.write(f"{json.dumps(message)}\n")
            return
        try:
            os.write(self._descriptor, json.dumps(message).encode() + b"\n")
        except OSError as error:
            raise SiteError("whoever started this has gone", cause=str(error)) from error


def _check_able(record: Mapping[str, Any]) -> None:
    """Raise InvalidBundle for a bundle whose runtime has no such room."""
    try:
        open_tree(record).path(_OWN_ROOM)
    except InvalidBundle:
        raise InvalidBundle(
            "this bundle's runtime does not score files",
            cause="it is of an older mlship",
            fix="Build it again",
        ) from None


def _how_to_go_on(job: Job) -> str:
    if not job.resumable:
        return "A stream cannot be gone on with: the next run begins anew"
    return "The same command goes on from there"


def _worker_command(record: Mapping[str, Any], release: str, job_file: str) -> list[str]:
    boot = open_tree(record).path(BOOT)
    python = python_command(sys.executable, sys.pycache_prefix)
    return [*python, boot, "scorer", "--release", release, "--job", job_file]


def _note(asked: list[int]) -> Callable[[int, Optional[FrameType]], None]:
    def note(number: int, frame: Optional[FrameType]) -> None:
        if asked:  # whoever asks twice does not want to wait for what is under way
            os._exit(INTERRUPTED)
        asked.append(number)

    return note


def _provide(paths: Sequence[str], job: Job) -> None:
    """Put the bundle's packages on the search path, and let pyarrow be found where the job says; it must find
    NumPy when it is imported."""
    sys.path[:0] = [path for path in paths if path not in sys.path]
    if PARQUET in (job.inputFormat, job.outputFormat):
        from mlship_runtime.scoring.borrowed import borrow

        borrow("pyarrow", job.packages)
