"""Records of 31 fields (packed, zoned, texts) decoded, scored and encoded, as a multiple of ONNX Runtime on
the ready array with reading and writing of the bytes; and the codec beside a plain reader of single records.

In CPU time, one process with one thread; ends with 1 over the limits. `--rows N` (1 million), `--rounds N`.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench_infer import COLUMNS, FEATURES
from bench_score import cpu_of, pipeline_of, trained

LIMIT = 3.0  # times ONNX Runtime on the array, with reading and writing
FASTER = 20.0  # times a plain reader of single records
PLAIN_ROWS = 5_000
HALF = FEATURES // 2
CHUNK = 4096  # records that ONNX Runtime gets at once
IN = "       01  CUST.\n           05  CUST-ID  PIC X(10).\n" + "".join(
    f"           05  {name.upper()}  PIC S9(5)V99{' COMP-3' if at < HALF else ''}.\n"
    for at, name in enumerate(COLUMNS)
)
OUT = """\
       01  SCORED.
           05  CUST-ID           PIC X(10).
           05  ML-LABEL          PIC 9.
           05  PROBABILITIES     PIC S9(1)V9(6) COMP-3 OCCURS 2.
"""


def write_records(path: Path, rows: int) -> None:
    """So many records, in blocks that are alike."""
    import numpy as np

    from mlship_runtime.records.form import RecordForm
    from mlship_runtime.scoring.record_writer import RecordWriter

    values = np.random.default_rng(0).normal(10, 300, (1000, FEATURES)).round(2)
    cells = [[f"K{at:09d}" for at in range(1000)], *(column.astype(str).tolist() for column in values.T)]
    block = RecordWriter(RecordForm(IN), (), ("cust_id", *COLUMNS)).rows(cells, {})
    with path.open("wb") as file:
        for _ in range(rows // 1000):
            file.write(block)


def bare(model: bytes, array: Any, source: Path, out: Path) -> None:
    """What cannot be saved: the bytes in, the model, the bytes out."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    source.read_bytes()
    for at in range(0, len(array), CHUNK):
        session.run(None, {"X": array[at : at + CHUNK]})
    out.write_bytes(bytes(19 * len(array)))


def ours(folder: Path, model: bytes, source: Path) -> None:
    """The whole run, journal, checkpoints and control totals included."""
    from mlship_runtime.scoring.forms import scorer_for
    from mlship_runtime.scoring.job import Job
    from mlship_runtime.scoring.opening import opened, settled, titles_of
    from mlship_runtime.scoring.run import Run
    from mlship_runtime.scoring.workers import Alone

    pipeline = pipeline_of(folder / "bundle", model)
    forms = {
        "inputFormat": "records",
        "outputFormat": "records",
        "reads": {"copybook": IN},
        "writes": {"copybook": OUT},
    }
    asked = Job(str(source), str(folder / "out.dat"), totals=str(folder / "totals.json"), **forms)  # type: ignore[arg-type]
    job = settled(asked, pipeline.spec)
    opening = opened(job, pipeline.spec)
    run = Run(job, pipeline.digest, opening.source, titles_of(job, pipeline.spec, opening))
    done = run.run(Alone(scorer_for(job, pipeline.spec, opening.header, pipeline.predict)))
    assert done.good == done.seen


def codec(data: bytes) -> Callable[[], object]:
    """All fields of all records, decoded."""
    import numpy as np

    from mlship_runtime.records.block import Block
    from mlship_runtime.records.form import RecordForm
    from mlship_runtime.records.schema import Schema
    from mlship_runtime.records.table import Table

    schema = Schema(RecordForm(IN))

    def work() -> None:
        step = schema.length * 2500
        for at in range(0, len(data), step):
            table = Table(schema, Block(np.frombuffer(data[at : at + step], np.uint8), schema.length))
            table.texts("cust_id")
            for name in COLUMNS:
                assert not np.isnan(table.floats(name)).any()

    return work


def plain(data: bytes) -> Callable[[], object]:
    """What somebody writes who reads one record after the other."""
    zones = {
        **{0xC0 + digit: (digit, 1) for digit in range(10)},
        **{0xD0 + digit: (digit, -1) for digit in range(10)},
    }

    def packed(part: bytes) -> float:
        text = part.hex()
        return int(text[:-1]) / (-100 if text[-1] in "bd" else 100)

    def zoned(part: bytes) -> float:
        digit, sign = zones[part[-1]]
        return sign * (int(part[:-1].decode("cp037")) * 10 + digit) / 100

    def record(row: bytes) -> list[Any]:
        at = 10 + 4 * HALF
        return [
            row[:10].decode("cp037").rstrip(),
            *(packed(row[place : place + 4]) for place in range(10, at, 4)),
            *(zoned(row[place : place + 7]) for place in range(at, len(row), 7)),
        ]

    length = 10 + 4 * HALF + 7 * (FEATURES - HALF)
    return lambda: [record(data[at : at + length]) for at in range(0, len(data), length)]


def seconds_of(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def main() -> int:
    words = argparse.ArgumentParser()
    words.add_argument("--rows", type=int, default=1_000_000)
    words.add_argument("--rounds", type=int, default=5)
    asked = words.parse_args()
    model, times, faster = trained(), [], []
    with tempfile.TemporaryDirectory(prefix="mlship-bench-") as scratch:
        source = Path(scratch, "cust.dat")
        write_records(source, asked.rows)
        import numpy as np

        array = np.random.default_rng(0).normal(10, 300, (asked.rows, FEATURES)).astype(np.float32)
        with source.open("rb") as file:
            data = file.read(source.stat().st_size // asked.rows * PLAIN_ROWS)
        for number in range(asked.rounds):
            folder = Path(scratch, str(number))
            folder.mkdir()
            least = cpu_of(lambda: bare(model, array, source, Path(scratch, "bare")))
            whole = cpu_of(lambda f=folder: ours(f, model, source))
            slow, quick = seconds_of(plain(data)), seconds_of(codec(data))
            times.append(whole / least)
            faster.append(slow / quick)
            costs = ", ".join(f"{seconds / asked.rows * 1e6:.2f}" for seconds in (least, whole))
            costs += "; " + ", ".join(f"{seconds / PLAIN_ROWS * 1e6:.2f}" for seconds in (slow, quick))
            print(f"µs of CPU a record, the model alone and the whole; one by one and by the codec: {costs}")
    multiple, gain = statistics.median(times), statistics.median(faster)
    good = multiple <= LIMIT and gain >= FASTER
    print(
        f"times the model with reading and writing, median of {asked.rounds}: {multiple:.2f}, limit {LIMIT}"
    )
    print(f"the codec, times as fast as record by record: {gain:.1f}, limit {FASTER}")
    print("held" if good else "BROKEN")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
