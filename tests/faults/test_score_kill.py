"""kill -9 at every call of a run of `score` that changes the disk, and again at one of the run that goes on:
in the end the files are those of a run that nobody disturbed."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sample_kills import killed_at
from sampling import Some
from scoring import rows_file, score

from mlship_runtime.scoring.job import Job

pytestmark = pytest.mark.faults

COPYBOOK = """\
       01  SCORED.
           05  ID          PIC X(8).
           05  LABEL       PIC 9.
           05  P           PIC S9(1)V9(6) COMP-3 OCCURS 2.
"""
FORMS: dict[str, dict[str, Any]] = {
    "csv": {"output": "out.csv", "outputFormat": "csv"},
    "jsonl": {"output": "out.jsonl", "outputFormat": "jsonl"},
    "parquet": {"output": "out.parquet", "outputFormat": "parquet"},
    "records": {"output": "out.dat", "outputFormat": "records", "writes": {"copybook": COPYBOOK}},
}


def job(folder: Path, rows: Path, form: str, **more: Any) -> Job:
    given = {**FORMS[form], "output": str(folder / FORMS[form]["output"]), "keep": ("id",), "maxBad": 9}
    if form == "records":
        given["totals"] = str(folder / "totals.json")
    places = {"input": str(rows), "bad": str(folder / "bad.jsonl"), "report": str(folder / "report.json")}
    return Job(**{**given, **places, "chunkBytes": 300, "checkpoint": 0.0, **more})


def results(folder: Path, form: str) -> dict[str, bytes]:
    """All that a run leaves but its report, which names times and places."""
    names = {path.name for path in folder.iterdir()}
    totals = {"totals.json", "totals.dat"} if form == "records" else set()
    assert names == {FORMS[form]["output"], "bad.jsonl", "report.json", *totals}
    return {name: (folder / name).read_bytes() for name in names - {"report.json"}}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("checkpoint", [0.0, 1e9], ids=["each chunk", "at the end"])
def test_killed_at_every_point_and_again(tmp_path: Path, form: str, checkpoint: float, some: Some) -> None:
    if form == "parquet":
        pytest.importorskip("pyarrow")
    rows = rows_file(tmp_path / "rows.csv", 60, bad=[7, 8, 41])
    calm = tmp_path / "calm"
    calm.mkdir()
    score(job(calm, rows, form))
    wanted, chance = results(calm, form), random.Random(1)
    point, killed = 0, True
    while killed:
        point += some.stride()
        folder = tmp_path / str(point)
        folder.mkdir()
        asked = job(folder, rows, form, checkpoint=checkpoint)
        killed = killed_at(point, partial(score, asked))
        if killed and (folder / FORMS[form]["output"]).exists():
            assert (folder / FORMS[form]["output"]).read_bytes() == wanted[FORMS[form]["output"]]
        if killed:
            again = killed_at(chance.randint(1, point + 10), partial(score, asked))
            if again or not _over(folder):
                _finish(asked)
        assert results(folder, form) == wanted, f"point {point}"
    assert point > (40 if checkpoint == 0.0 else 15)


def _over(folder: Path) -> bool:
    return not list(folder.glob("*.mlship-*"))


def _finish(asked: Job) -> None:
    """The third run; what was killed after its journal had gone has nothing left to do."""
    folder = Path(asked.output).parent
    if not (_over(folder) and Path(asked.output).exists()):
        score(asked)
