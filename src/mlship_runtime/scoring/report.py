"""What a run tells in the end: counts, sums to compare two runs by, checksums, time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlship_runtime.scoring.job import Job
from mlship_runtime.scoring.journal import Journal


def report_of(
    job: Job, done: Journal, output_sha256: str, ignored: Sequence[str], begun_at: int
) -> dict[str, Any]:
    """`begun_at` rows had been done by an earlier run; `totals` are the sum and the number of missing values
    of each output of numbers."""
    rate = round(done.seen / done.seconds) if done.seconds else 0
    return {
        "schemaVersion": 1,
        "bundle": done.bundle,
        "input": {"path": job.input, "format": job.inputFormat, "sha256": done.read},
        "output": {"path": job.output, "format": job.outputFormat, "sha256": output_sha256},
        "badRows": {"path": job.bad, "sha256": done.bad_rows.sha256} if job.bad else None,
        "rowsIn": done.seen,
        "rowsOut": done.good,
        "rowsBad": done.bad,
        "rowsBefore": begun_at,
        "totals": {name: {"sum": numbers[0], "missing": numbers[1]} for name, numbers in done.totals.items()},
        "kept": list(job.keep),
        "ignored": list(ignored),
        "workers": job.workers,
        "threads": job.threads,
        "seconds": round(done.seconds, 3),
        "rowsPerSecond": rate,
    }
