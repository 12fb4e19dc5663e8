"""`mlship score` where no bundle is needed: words that do not go together, and how its result looks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from mlship.cli import render_plain, score_views
from mlship.errors import UsageError
from mlship.ops.score import Scored


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--out", "b.csv"], "--in is missing. Name a file, or - for a stream"),
        (["--in", "a.csv"], "--out is missing. Name a file, or - for a stream"),
        (["--in", "a.csv", "--out", "b.txt"], "the format is not known"),
        (["--in", "-", "--out", "b.csv"], "stdin and stdout have no suffix. Say which: csv, jsonl, parquet"),
        (["--in", "-", "--out", "b.csv", "--format", "xls"], "'xls' is not a format"),
        (["--in", "a.csv", "--out", "./a.csv"], "a.csv is given for two things"),
        (["--in", "a.csv", "--out", "b.csv", "--max-bad", "3"], "Add --bad FILE"),
        (["--in", "a.csv", "--out", "b.csv", "--delimiter", ",,"], "',,' cannot separate fields"),
    ],
)
def test_words_that_do_not_go_together(run: Callable[..., Any], words: Sequence[str], said: str) -> None:
    ended = run("score", "churn:1.0", *words)
    assert ended.code == 2
    assert said in ended.err
    assert ended.err.count("\n") == 1
    assert not list(Path().iterdir())


@pytest.mark.parametrize(
    ("said", "formats"), [("csv", ("csv", "csv")), ("csv:jsonl", ("csv", "jsonl")), ("csv:", ("csv", "csv"))]
)
def test_streams_can_be_of_two_formats(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, said: str, formats: tuple[str, str]
) -> None:
    jobs: list[Any] = []

    def told(context: object, bundle: str | None, job: Any, *more: object) -> None:
        jobs.append(job)
        raise UsageError("that is enough")

    monkeypatch.setattr("mlship.ops.score.score", told)
    run("score", "churn:1.0", "--in", "-", "--out", "-", "--format", said)
    assert [(job.inputFormat, job.outputFormat) for job in jobs] == [formats]


def test_stdout_cannot_hold_answers_and_the_result(run: Callable[..., Any]) -> None:
    ended = run("score", "churn:1.0", "--in", "a.csv", "--out", "-", "--format", "csv", "--json")
    assert ended.code == 2
    assert "both write to stdout" in ended.envelope["error"]["what"]


def test_the_result_as_text() -> None:
    result = Scored(
        reference="churn:1.0", bundle="sha256:ab", rows_in=10, rows_out=9, rows_bad=1, rows_before=4,
        input={"path": "/a.csv", "format": "csv", "sha256": "1"},
        output={"path": "/b.csv", "format": "csv", "sha256": "2"},
        bad_rows={"path": "/bad.jsonl", "sha256": "3"},
        totals={"label": {"sum": 4, "missing": 0}, "p": {"sum": 1.25, "missing": 2}},
        kept=("id",), ignored=("note",), workers=2, seconds=0.5, rows_per_second=20,
    )  # fmt: skip

    assert render_plain.draw(score_views.scored(result)).splitlines() == [
        "9 of 10 rows scored, 1 bad",
        "bundle         sha256:ab",
        "output         /b.csv",
        "sha256         2",
        "bad rows       /bad.jsonl",
        "gone on after  4 rows",
        "not read       note",
        "sum of label   4",
        "sum of p       1.25, 2 missing",
        "rate           20 rows/s in 0.5 s",
    ]
