"""Scoring a CSV file of 30 columns, as a share of the rate of pyarrow's reader (one thread), ONNX Runtime on
the array and pyarrow's writer; ends with 1 under the limits. `--rows N` (1 million), `--rounds N` (5).

In CPU time, for others on this machine change nothing of that: one process with its input, model and output.
With two workers, the CPU time of all processes says how much faster two idle cores are with them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench_infer import COLUMNS, FEATURES, train, unpack

LIMIT = 0.60  # of the rate with pyarrow; what parses is the same with NumPy alone
LIMIT_OF_TWO = 1.7  # times as fast with two workers


def write_rows(path: Path, rows: int) -> None:
    import numpy as np

    values = np.random.default_rng(0).normal(10, 30, (1000, FEATURES)).round(4)
    block = "".join(",".join(map(repr, row)) + "\n" for row in values.tolist())
    with path.open("w") as file:
        file.write(",".join(COLUMNS) + "\n")
        for _ in range(rows // 1000):
            file.write(block)


def by_hand(model: bytes, source: Path, out: Path) -> None:
    """What somebody who knows his tools would write for this model."""
    import numpy as np
    import onnxruntime
    import pyarrow as pa
    import pyarrow.csv as csv

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    table = csv.read_csv(source, read_options=csv.ReadOptions(use_threads=False))
    array = np.column_stack([column.to_numpy() for column in table.columns]).astype(np.float32)
    label, probabilities = session.run(None, {"X": array})
    columns = {"label": label, "p0": probabilities[:, 0], "p1": probabilities[:, 1]}
    csv.write_csv(pa.table({name: np.ascontiguousarray(cells) for name, cells in columns.items()}), out)


def ours(folder: Path, model: bytes, source: Path, workers: int) -> None:
    """The whole run, journal and checkpoints included, in this process or with some of its own."""
    from mlship_runtime.scoring.forms import scorer_for
    from mlship_runtime.scoring.job import Job
    from mlship_runtime.scoring.opening import opened, titles_of
    from mlship_runtime.scoring.run import Run
    from mlship_runtime.scoring.workers import Alone, Pool

    pipeline = pipeline_of(folder / "bundle", model)
    job = Job(str(source), str(folder / "out.csv"), workers=workers)
    opening = opened(job, pipeline.spec)
    run = Run(job, pipeline.digest, opening.source, titles_of(job, pipeline.spec, opening))
    if workers == 1:
        run.run(Alone(scorer_for(job, pipeline.spec, opening.header, pipeline.predict)))
        return
    (folder / "model").write_bytes(model)
    (folder / "job.json").write_text(json.dumps(job.document()))
    pool = Pool([sys.executable, __file__, "--attend", str(folder)], workers, opening.header)
    run.run(pool)
    for worker in pool._all:  # to its end, so that its time is counted
        assert worker.stdin is not None
        worker.stdin.close()
        worker.wait()
    pool.close()


def attend(folder: Path) -> int:
    """One worker process."""
    from mlship_runtime.scoring.forms import scorer_for
    from mlship_runtime.scoring.job import read_job
    from mlship_runtime.scoring.workers import attend

    job = read_job(str(folder / "job.json"))
    pipeline = pipeline_of(folder / f"bundle-{os.getpid()}", (folder / "model").read_bytes())
    return attend(
        sys.stdin.buffer,
        sys.stdout.buffer,
        lambda header: scorer_for(job, pipeline.spec, header, pipeline.predict),
    )


def pipeline_of(folder: Path, model: bytes) -> Any:
    from mlship_runtime.model.pipeline import Pipeline

    return Pipeline(unpack(folder, model, columns=True, reduction=False))


def cpu_of(work: Callable[[], None]) -> float:
    """CPU seconds of `work`, in a process of its own."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    _, status, used = os.wait4(child, 0)
    if status:
        raise SystemExit("a run failed")
    return used.ru_utime + used.ru_stime


def trained() -> bytes:
    """The model; what training loads stays out of the measured processes."""
    child, parent = os.pipe()
    if os.fork() == 0:
        with os.fdopen(parent, "wb") as stream:
            stream.write(train())
        os._exit(0)
    os.close(parent)
    with os.fdopen(child, "rb") as stream:
        return stream.read()


def main() -> int:
    words = argparse.ArgumentParser()
    words.add_argument("--rows", type=int, default=1_000_000)
    words.add_argument("--rounds", type=int, default=5)
    words.add_argument("--attend", type=Path)
    asked = words.parse_args()
    if asked.attend:
        return attend(asked.attend)
    model, shares, gains = trained(), [], []
    with tempfile.TemporaryDirectory(prefix="mlship-bench-") as scratch:
        source = Path(scratch, "rows.csv")
        write_rows(source, asked.rows)
        for number in range(asked.rounds):
            folders = [Path(scratch, f"{number}-{workers}") for workers in range(3)]
            for folder in folders:
                folder.mkdir()
            hand = cpu_of(lambda f=folders[0]: by_hand(model, source, f / "out.csv"))
            one = cpu_of(lambda f=folders[1]: ours(f, model, source, 1))
            two = cpu_of(lambda f=folders[2]: ours(f, model, source, 2))
            shares.append(hand / one)
            gains.append(2 * one / two)
            costs = ", ".join(f"{seconds / asked.rows * 1e6:.2f}" for seconds in (hand, one, two))
            print(f"µs of CPU a row by hand, with one process, with two workers: {costs}")
    share, gain = statistics.median(shares), statistics.median(gains)
    good = share >= LIMIT and gain >= LIMIT_OF_TWO
    print(f"share of the rate by hand, median of {asked.rounds}: {share:.2f}, limit {LIMIT}")
    print(f"two workers on two idle cores, times as fast: {gain:.2f}, limit {LIMIT_OF_TWO}")
    print("held" if good else "BROKEN")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
