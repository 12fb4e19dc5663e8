"""Parquet in and out: the values and the rows of other formats, and runs that go on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from scoring import AGES, Schema, rows_file, score, tensor

from mlship_runtime.errors import BadInput
from mlship_runtime.scoring.job import Job
from mlship_runtime.scoring.layout import lay_out
from mlship_runtime.scoring.run import Stopped

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def read(columns: dict[str, Any], specs: list[Any]) -> Any:
    from mlship_runtime.scoring.parquet import ParquetRows, _message

    batch = pa.record_batch(columns)
    return ParquetRows(lay_out(batch.schema.names, specs, [], lists=True))(_message(batch), 1)


def job(folder: Path, **more: Any) -> Job:
    given = {"input": str(folder / "rows.parquet"), "inputFormat": "parquet", "keep": ("id",)}
    places = {"output": str(folder / "out.parquet"), "outputFormat": "parquet"}
    return Job(**{**given, **places, "chunkRows": 7, "checkpoint": 0.0, **more})


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    table = pa.table({
        "id": pa.array(range(50), pa.int32()), "plan": ["x"] * 50, "age": [row * 1.5 for row in range(50)]
    })  # fmt: skip
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=20)
    return tmp_path


def test_kept_columns_keep_their_types(rows: Path) -> None:
    assert score(job(rows)).seen == 50
    table = pq.read_table(rows / "out.parquet")
    assert table.schema.names == ["id", "label", "p_0", "p_1"]
    assert [str(kind) for kind in table.schema.types] == ["int32", "int64", "float", "float"]
    assert table.column("id").to_pylist() == list(range(50))


def test_answers_are_those_of_csv(rows: Path) -> None:
    lines = ["id,age,plan", *(f"{row},{row * 1.5},x" for row in range(50))]
    (rows / "rows.csv").write_text("\n".join(lines))
    score(job(rows, output=str(rows / "out.csv"), outputFormat="csv"))
    score(
        job(
            rows,
            input=str(rows / "rows.csv"),
            inputFormat="csv",
            output=str(rows / "2.csv"),
            outputFormat="csv",
        )
    )
    assert (rows / "out.csv").read_bytes() == (rows / "2.csv").read_bytes()


@pytest.mark.parametrize("stops", [1, 3, 4, 7])
def test_a_run_goes_on(rows: Path, stops: int) -> None:
    score(job(rows, output=str(rows / "whole.parquet")))
    left = stops

    def stop() -> bool:
        nonlocal left
        left -= 1
        return left == 0

    with pytest.raises(Stopped):
        score(job(rows), stop=stop)
    score(job(rows))
    assert (rows / "out.parquet").read_bytes() == (rows / "whole.parquet").read_bytes()


def test_another_file_is_not_gone_on_with(rows: Path) -> None:
    with pytest.raises(Stopped):
        score(job(rows), stop=lambda: True)
    data = bytearray((rows / "rows.parquet").read_bytes())
    data[40] ^= 1
    (rows / "rows.parquet").write_bytes(data)
    with pytest.raises(BadInput, match="begun with"):
        score(job(rows))


def test_bad_rows_have_their_number(rows: Path) -> None:
    ages = [1.0, None, float("inf"), 4.0, 5000.0]
    pq.write_table(pa.table({"id": list("abcde"), "age": ages, "plan": ["x"] * 5}), rows / "rows.parquet")
    done = score(job(rows, bad=str(rows / "bad.jsonl"), maxBad=9))
    assert (done.seen, done.good, done.bad) == (5, 2, 3)
    told = [json.loads(line) for line in (rows / "bad.jsonl").read_text().splitlines()]
    assert [(row["line"], row["field"]) for row in told] == [(2, "age"), (3, "age"), (5, "age")]
    assert pq.read_table(rows / "out.parquet").column("id").to_pylist() == ["a", "d"]
    (rows / "out.parquet").unlink()
    with pytest.raises(BadInput, match=r"rows\.parquet, row 2, age: null, not nullable|row 2, age"):
        score(job(rows))


def test_missing_values_and_lists() -> None:
    specs = [tensor("n", "INT64", nullable=True), tensor("v", "FP32", 2), tensor("t", "BYTES", nullable=True)]
    vectors = pa.array([[1, 2], [3, 4], [5]], pa.list_(pa.float64()))
    rows = read({"n": [1, None, 3], "v": vectors, "t": ["a", None, "c"]}, specs)
    assert [(bad.line, bad.field) for bad in rows.bad] == [(3, "v")]
    assert str(rows.columns["n"].tolist()) == "[1.0, nan]"
    assert rows.columns["v"].tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert rows.columns["t"].tolist() == ["a", None]
    fixed = pa.array([[1, 2], [3, 4]], pa.list_(pa.float32(), 2))
    assert read({"v": fixed}, [specs[1]]).columns["v"].tolist() == [[1.0, 2.0], [3.0, 4.0]]


@pytest.mark.parametrize(
    ("values", "spec"),
    [
        (pa.array([1 << 60, None]), tensor("x", "INT64", nullable=True)),
        (pa.array([300]), tensor("x", "INT8")),
        (pa.array(["1"]), tensor("x")),
        (pa.array([1], pa.timestamp("s")), tensor("x")),
        (pa.array([True]), tensor("x", "INT64")),
        (pa.array([1.5]), tensor("x", "INT64")),
        (pa.array([b"a"]), tensor("x", "BYTES")),
    ],
)
def test_values_that_do_not_fit(values: Any, spec: Any) -> None:
    assert [(bad.line, bad.field) for bad in read({"x": values}, [spec]).bad] == [(1, "x")]


def test_what_is_no_parquet(tmp_path: Path) -> None:
    rows_file(tmp_path / "rows.parquet", 3)
    with pytest.raises(BadInput, match="cannot be read as Parquet"):
        score(job(tmp_path))
    pq.write_table(pa.table({"id": [1], "age": [1.0]}), tmp_path / "rows.parquet")
    with pytest.raises(BadInput, match="no column plan"):
        score(job(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["rows.parquet"]


def test_no_rows(tmp_path: Path) -> None:
    empty = pa.table(
        {
            "id": pa.array([], pa.string()),
            "age": pa.array([], pa.float64()),
            "plan": pa.array([], pa.string()),
        }
    )
    pq.write_table(empty, tmp_path / "rows.parquet")
    assert score(job(tmp_path), Schema(AGES.inputs, AGES.outputs)).seen == 0
    assert pq.read_table(tmp_path / "out.parquet").num_rows == 0
