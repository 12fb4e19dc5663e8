"""Several worker processes: the same bytes as one, in order, and a word for one that dies or cannot start."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from scoring import AGES, rows_file, run_of, score

from mlship_runtime.errors import InvalidBundle, SiteError
from mlship_runtime.scoring.job import Job
from mlship_runtime.scoring.workers import Pool

SAMPLES = Path(__file__).parents[2] / "samples"
WORKER = f"""
import os, sys
sys.path[:0] = {[str(SAMPLES), *sys.path]!r}
from mlship_runtime.errors import InvalidBundle
from mlship_runtime.scoring.forms import scorer_for
from mlship_runtime.scoring.job import read_job
from mlship_runtime.scoring.workers import attend
from scoring import AGES, predict

def loaded(header):
    if "damaged" in sys.argv:
        raise InvalidBundle("the model cannot be loaded", cause="it is damaged")
    return scorer_for(read_job(sys.argv[1]), AGES, header, predict)

sys.exit(attend(sys.stdin.buffer, sys.stdout.buffer, loaded))
"""

Begin = Callable[..., Pool]


@pytest.fixture
def job(tmp_path: Path) -> Job:
    rows_file(tmp_path / "rows.csv", 300, bad=[5, 250])
    return Job(
        str(tmp_path / "rows.csv"),
        str(tmp_path / "out.csv"),
        keep=("id",),
        bad=str(tmp_path / "bad.jsonl"),
        maxBad=9,
        workers=2,
        chunkBytes=200,
    )


@pytest.fixture
def begin(tmp_path: Path, job: Job) -> Begin:
    def run(*words: str) -> Pool:
        (tmp_path / "job.json").write_text(json.dumps(job.document()))
        command = [sys.executable, "-c", WORKER, str(tmp_path / "job.json"), *words]
        return Pool(command, job.workers, ["id", "age", "plan"])

    return run


def test_two_workers_write_what_one_writes(tmp_path: Path, job: Job, begin: Begin) -> None:
    with contextlib.closing(begin()) as pool:
        done = run_of(job).run(pool)
    assert (done.seen, done.good, done.bad) == (300, 298, 2)
    alone = Job(**{**job.__dict__, "output": str(tmp_path / "alone.csv"), "bad": str(tmp_path / "b")})
    score(alone)
    assert (tmp_path / "alone.csv").read_bytes() == (tmp_path / "out.csv").read_bytes()
    assert (tmp_path / "b").read_bytes() == (tmp_path / "bad.jsonl").read_bytes()


def test_a_worker_that_dies_ends_the_run_which_can_be_gone_on_with(
    tmp_path: Path, job: Job, begin: Begin
) -> None:
    pool, seen = begin(), 0

    def kill_one() -> bool:
        nonlocal seen
        seen += 1
        if seen == 10:
            os.kill(pool._all[0].pid, signal.SIGKILL)
        return False

    with pytest.raises(SiteError, match="a worker process ended: by signal 9"), contextlib.closing(pool):
        run_of(job, AGES, stop=kill_one).run(pool)
    assert all(worker.returncode is not None for worker in pool._all)
    assert score(job).seen == 300


def test_what_a_worker_says_of_its_start_is_passed_on(job: Job, begin: Begin) -> None:
    with pytest.raises(InvalidBundle, match="the model cannot be loaded: it is damaged"):
        begin("damaged")
    assert not Path(job.output).exists()


def test_a_worker_ends_with_its_run(begin: Begin) -> None:
    pool = begin()
    worker = pool._all[0]
    assert worker.stdin is not None
    worker.stdin.close()
    assert worker.wait(timeout=60) == 0
    pool.close()
