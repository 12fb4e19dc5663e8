"""Scoring a CSV file of 30 columns, as a share of the rate of pyarrow's reader (one thread), ONNX Runtime on
the array and pyarrow's writer; ends with 1 under the limits. `--rows N` (1 million), `--rounds N` (5).

In CPU time, for others on this machine change nothing of that: one process with its input, model and output.
Two workers are compared with one in elapsed time, which means something on two idle cores only; it is told,
with the limit, and counts with `--elapsed`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench_infer import COLUMNS, FEATURES, train, unpack

LIMIT = 0.60  # of the rate with pyarrow; what parses is the same with NumPy alone
TWO = 1.7
CHUNK = 256 << 10


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


def ours(model: bytes, source: Path, out: Path, folder: Path) -> None:
    """The whole run, journal and checkpoints included, in this process."""
    from mlship_runtime.model.pipeline import Pipeline
    from mlship_runtime.scoring.forms import scorer_for
    from mlship_runtime.scoring.job import Job
    from mlship_runtime.scoring.opening import opened, titles_of
    from mlship_runtime.scoring.run import Run
    from mlship_runtime.scoring.workers import Alone

    pipeline = Pipeline(unpack(folder, model, columns=True, reduction=False))
    job = Job(str(source), str(out), chunkBytes=CHUNK)
    opening = opened(job, pipeline.spec)
    scorer = scorer_for(job, pipeline.spec, opening.header, pipeline.predict)
    run = Run(job, pipeline.digest, opening.source, titles_of(job, pipeline.spec, opening))
    run.run(Alone(scorer))


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


def main() -> int:
    words = argparse.ArgumentParser()
    words.add_argument("--rows", type=int, default=1_000_000)
    words.add_argument("--rounds", type=int, default=5)
    asked = words.parse_args()
    child, parent = os.pipe()
    if os.fork() == 0:  # what training loads stays out of the measured processes
        with os.fdopen(parent, "wb") as stream:
            stream.write(train())
        os._exit(0)
    os.close(parent)
    with os.fdopen(child, "rb") as stream:
        model = stream.read()
    shares = []
    with tempfile.TemporaryDirectory(prefix="mlship-bench-") as scratch:
        folder = Path(scratch)
        source = folder / "rows.csv"
        write_rows(source, asked.rows)
        for number in range(asked.rounds):
            hand = cpu_of(lambda: by_hand(model, source, folder / "hand.csv"))
            own = cpu_of(lambda n=number: ours(model, source, folder / f"{n}.csv", folder / f"bundle{n}"))
            shares.append(hand / own)
            print(f"by hand {hand / asked.rows * 1e6:.2f} µs a row, mlship {own / asked.rows * 1e6:.2f}")
    share = statistics.median(shares)
    verdict = "held" if share >= LIMIT else "BROKEN"
    print(f"share of the rate by hand, median of {asked.rounds}: {share:.2f}, limit {LIMIT}: {verdict}")
    return 0 if share >= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
