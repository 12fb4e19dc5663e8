"""Runs of `score` in this process: bad rows, going on, and what is refused before anything is written."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from scoring import BUNDLE, rows_file, run_of, score

from mlship_runtime.errors import BadInput, SiteError
from mlship_runtime.scoring.job import Job, job_of
from mlship_runtime.scoring.journal import journal_path, read_journal
from mlship_runtime.scoring.rows import Scored
from mlship_runtime.scoring.run import Stopped


def job(folder: Path, **more: Any) -> Job:
    given = {"input": str(folder / "rows.csv"), "output": str(folder / "out.csv"), "keep": ("id",)}
    return Job(**{**given, "chunkBytes": 200, "checkpoint": 0.0, **more})


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_rows_in_rows_out(tmp_path: Path) -> None:
    rows_file(tmp_path / "rows.csv", 100)
    done = score(job(tmp_path, report=str(tmp_path / "report.json")))
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert lines[0] == "id,label,p_0,p_1"
    assert [line.split(",")[0] for line in lines[1:]] == [f"k-{row}" for row in range(100)]
    assert (done.seen, done.good, done.bad) == (100, 100, 0)
    assert left(tmp_path) == ["out.csv", "report.json", "rows.csv"]
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["output"]["sha256"] == hashlib.sha256((tmp_path / "out.csv").read_bytes()).hexdigest()
    assert report["input"]["sha256"] == hashlib.sha256((tmp_path / "rows.csv").read_bytes()).hexdigest()
    assert (report["rowsIn"], report["rowsOut"], report["bundle"]) == (100, 100, BUNDLE)
    assert report["ignored"] == []
    labels = sum(int(line.split(",")[1]) for line in lines[1:])
    assert report["totals"]["label"] == {"sum": labels, "missing": 0}


def test_the_size_of_chunks_and_formats_change_no_answer(tmp_path: Path) -> None:
    rows_file(tmp_path / "rows.csv", 50)
    score(job(tmp_path))
    score(job(tmp_path, output=str(tmp_path / "whole.csv"), chunkBytes=1 << 20))
    assert (tmp_path / "whole.csv").read_bytes() == (tmp_path / "out.csv").read_bytes()
    json_lines = {"output": str(tmp_path / "out.jsonl"), "outputFormat": "jsonl"}
    score(job(tmp_path, **json_lines))
    records = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    flat = [f"{r['id']},{r['label']},{r['p'][0]},{r['p'][1]}" for r in records]
    assert flat == (tmp_path / "out.csv").read_text().splitlines()[1:]


def test_no_rows_give_a_header(tmp_path: Path) -> None:
    rows_file(tmp_path / "rows.csv", 0)
    assert score(job(tmp_path)).seen == 0
    assert (tmp_path / "out.csv").read_text() == "id,label,p_0,p_1\n"


def test_the_first_bad_row_stops_and_later_the_run_goes_on(tmp_path: Path) -> None:
    rows_file(tmp_path / "rows.csv", 100, bad=[40, 70])
    with pytest.raises(BadInput) as stopped:
        score(job(tmp_path))
    assert str(stopped.value) == (
        "rows.csv, line 42, age: 'old' is not a number. "
        "Mend it, or let some be bad with --max-bad N --bad FILE"
    )
    assert stopped.value.field == "age"
    assert not (tmp_path / "out.csv").exists()
    bad = str(tmp_path / "bad.jsonl")
    with pytest.raises(BadInput, match=r"more than 1 bad rows: rows\.csv, line 72"):
        score(job(tmp_path, bad=bad, maxBad=1))
    before = read_journal(journal_path(job(tmp_path)))
    assert before is not None
    assert before.bad == 1
    done = score(job(tmp_path, bad=bad, maxBad=2))
    assert (done.seen, done.good, done.bad) == (100, 98, 2)
    told = [json.loads(line) for line in Path(bad).read_text().splitlines()]
    assert told == [
        {"line": 42, "field": "age", "reason": "'old' is not a number", "text": 'k-40,old,"a, b"'},
        {"line": 72, "field": "age", "reason": "'old' is not a number", "text": 'k-70,old,"a, b"'},
    ]
    score(job(tmp_path, output=str(tmp_path / "again.csv"), bad=bad + "2", maxBad=2))
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "out.csv").read_bytes()


def test_a_row_that_the_model_refuses_is_found(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("id,age,plan\na,1,x\nb,2000,x\nc,3,x\nd,4000,x\n")
    done = score(job(tmp_path, bad=str(tmp_path / "bad.jsonl"), maxBad=5, chunkBytes=1 << 20))
    assert (done.good, done.bad) == (2, 2)
    told = [json.loads(line) for line in (tmp_path / "bad.jsonl").read_text().splitlines()]
    assert [(row["line"], row["field"], row["text"]) for row in told] == [
        (3, "age", "b,2000,x"),
        (5, "age", "d,4000,x"),
    ]
    assert told[0]["reason"] == "is too old for the model"
    assert [line[0] for line in (tmp_path / "out.csv").read_text().splitlines()[1:]] == ["a", "c"]


def test_bad_rows_of_all_kinds_stand_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("id,age,plan\na,2000,x\nb,old,x\nc,1,x\nd,3000,x\ne,none\n")
    score(job(tmp_path, bad=str(tmp_path / "bad.jsonl"), maxBad=5, chunkBytes=1 << 20))
    told = [json.loads(line) for line in (tmp_path / "bad.jsonl").read_text().splitlines()]
    assert [row["line"] for row in told] == [2, 3, 5, 6]


def interrupted(folder: Path, **more: Any) -> None:
    with pytest.raises(Stopped):
        score(job(folder, **more), stop=lambda: True)


def test_a_run_that_was_asked_to_stop_goes_on(tmp_path: Path) -> None:
    rows_file(tmp_path / "rows.csv", 100)
    interrupted(tmp_path)
    assert left(tmp_path) == ["out.csv.mlship-journal", "out.csv.mlship-part", "rows.csv"]
    assert score(job(tmp_path)).seen == 100
    score(job(tmp_path, output=str(tmp_path / "whole.csv")))
    assert (tmp_path / "whole.csv").read_bytes() == (tmp_path / "out.csv").read_bytes()


@pytest.mark.parametrize("other", ["bundle", "settings", "input", "path"])
def test_another_job_does_not_go_on(tmp_path: Path, other: str) -> None:
    rows_file(tmp_path / "rows.csv", 100)
    interrupted(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    again: dict[str, Any] = {"keep": ("id", "age")} if other == "settings" else {}
    if other == "input":
        text = (tmp_path / "rows.csv").read_text()
        (tmp_path / "rows.csv").write_text(text.replace("k-1,", "k-9,"))
    if other == "path":
        again["input"] = str(rows_file(tmp_path / "others.csv", 100))
    bundle = "sha256:" + "1" * 64 if other == "bundle" else BUNDLE
    with pytest.raises(BadInput, match="begun with") as error:
        score(job(tmp_path, **again), bundle=bundle)
    assert "--fresh" in str(error.value)
    assert before["out.csv.mlship-part"] == (tmp_path / "out.csv.mlship-part").read_bytes()
    assert score(job(tmp_path, fresh=True, **again), bundle=bundle).seen == 100


def test_rows_that_are_still_to_come_may_be_mended(tmp_path: Path) -> None:
    rows_file(tmp_path / "rows.csv", 100, bad=[70])
    with pytest.raises(BadInput, match="line 72"):
        score(job(tmp_path))
    text = (tmp_path / "rows.csv").read_text()
    (tmp_path / "rows.csv").write_text(text.replace("old", "40.0") + "k-100,1,a\n")
    done = score(job(tmp_path))
    assert (done.seen, done.good) == (101, 101)
    assert done.read == hashlib.sha256((tmp_path / "rows.csv").read_bytes()).hexdigest()


def test_an_output_that_came_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    rows_file(tmp_path / "rows.csv", 100)
    interrupted(tmp_path)
    (tmp_path / "out.csv").write_text("mine")
    with pytest.raises(BadInput, match=r"out\.csv is there already"):
        score(job(tmp_path))
    assert score(job(tmp_path, force=True)).seen == 100


def test_sums_beyond_every_float(tmp_path: Path) -> None:
    rows_file(tmp_path / "rows.csv", 100)
    run = run_of(job(tmp_path))

    class Huge:
        def score(self, chunks: Any) -> Any:
            for chunk in chunks:
                yield chunk, Scored(1, 1, [], {"y": (1.7e308, 0)}, b"1\n")

    done = run.run(Huge())  # type: ignore[arg-type]
    assert done.totals == {"y": [None, 0]}
    assert run.report["totals"] == {"y": {"sum": None, "missing": 0}}


def test_a_damaged_part_is_not_gone_on_with(tmp_path: Path) -> None:
    rows_file(tmp_path / "rows.csv", 100)
    interrupted(tmp_path)
    part = tmp_path / "out.csv.mlship-part"
    part.write_bytes(part.read_bytes()[:-5] + b"xxxxx")
    with pytest.raises(SiteError, match="it was changed"):
        score(job(tmp_path))
    part.write_bytes(part.read_bytes()[:-5])
    with pytest.raises(SiteError, match=r"bytes .* are there"):
        score(job(tmp_path))


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    rows_file(tmp_path / "rows.csv", 5)
    (tmp_path / "out.csv").write_text("mine")
    with pytest.raises(BadInput, match=r"out\.csv is there already. Add --force"):
        score(job(tmp_path))
    assert left(tmp_path) == ["out.csv", "rows.csv"]
    assert score(job(tmp_path, force=True)).seen == 5
    assert (tmp_path / "out.csv").read_text().startswith("id,")


def test_a_missing_column_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("id,age\na,1\n")
    with pytest.raises(BadInput, match="the input has no column plan"):
        score(job(tmp_path))
    assert left(tmp_path) == ["rows.csv"]


def test_two_runs_of_one_output(tmp_path: Path) -> None:
    rows_file(tmp_path / "rows.csv", 100)

    def second() -> bool:
        with pytest.raises(SiteError, match="is in use"):
            score(job(tmp_path))
        return False

    assert score(job(tmp_path), stop=second).seen == 100


def test_a_full_disk_is_told_and_gone_on_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows_file(tmp_path / "rows.csv", 100)
    real, left = os.write, 7

    def write(descriptor: int, data: bytes) -> int:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, bytes(data)[:150])

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(SiteError, match=r"No space left on device.*Free space"):
        score(job(tmp_path))
    monkeypatch.undo()
    done = score(job(tmp_path))
    assert done.seen == 100
    score(job(tmp_path, output=str(tmp_path / "whole.csv")))
    assert (tmp_path / "whole.csv").read_bytes() == (tmp_path / "out.csv").read_bytes()


def test_json_lines(tmp_path: Path) -> None:
    lines = ['{"age": 1, "plan": "x", "id": 7}', "", "{", '{"age": "x", "plan": "x", "id": 1}', "[1]"]
    lines += ['{"plan": "x", "id": 1}', '{"age": 2, "plan": "x"}', '{"age": 3, "plan": "x", "id": 1e17}']
    lines += ['{"age": 4, "plan": null, "id": 1}', '{"id": 9, "age": 5.5, "plan": "é", "more": 1}']
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    more = {"input": str(tmp_path / "rows.jsonl"), "inputFormat": "jsonl", "bad": str(tmp_path / "bad.jsonl")}
    done = score(job(tmp_path, maxBad=99, chunkBytes=60, **more))
    assert (done.seen, done.good) == (9, 2)
    told = [json.loads(line) for line in (tmp_path / "bad.jsonl").read_text().splitlines()]
    assert [(row["line"], row["field"]) for row in told] == [
        (3, ""), (4, "age"), (5, ""), (6, "age"), (7, "id"), (8, "id"), (9, "plan"),
    ]  # fmt: skip
    assert told[1]["reason"] == "is 'x', not a number (FP64)"
    assert [line.split(",")[0] for line in (tmp_path / "out.csv").read_text().splitlines()] == [
        "id",
        "7",
        "9",
    ]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"output": "/x/rows.csv"}, "/x/rows.csv is given for two things"),
        ({"bad": "/x/out.csv", "maxBad": 1}, "/x/out.csv is given for two things"),
        ({"maxBad": 1}, "only where they are written down"),
        ({"output": "-", "outputFormat": "parquet"}, "Parquet is read and written in files only"),
        ({"inputFormat": "xls"}, "'xls' is not a format"),
        ({"delimiter": "ab"}, "cannot separate fields"),
        ({"delimiter": "e"}, "cannot separate fields"),
        ({"header": False, "keep": ["id"]}, "named by the header line"),
        ({"keep": ["id", "id"]}, "kept twice"),
        ({"workers": -1}, "0 or more"),
        ({"threads": 0}, "1 or more"),
        ({"workers": "2"}, "workers is not of type int"),
        ({"speed": 1}, "unknown part 'speed'"),
        ({"input": ""}, "names no input"),
    ],
)
def test_jobs_that_do_not_fit(given: dict[str, Any], said: str) -> None:
    document = {"schemaVersion": 1, "input": "/x/rows.csv", "output": "/x/out.csv", **given}
    with pytest.raises(BadInput, match=said):
        job_of(document)


def test_a_job_is_read_as_it_was_written() -> None:
    wanted = Job("/a", "/b", keep=("id",), delimiter=";", maxBad=3, bad="/c", threads=2)
    assert job_of(json.loads(json.dumps(wanted.document()))) == wanted
    assert wanted.settings_digest() != Job("/a", "/b", keep=("id",), delimiter=";").settings_digest()
