"""Files of any bytes: each row is scored or told to be bad, or the file is refused; nothing else."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scoring import score

from mlship_runtime.errors import BadInput, SiteError
from mlship_runtime.scoring.borrowed import borrow
from mlship_runtime.scoring.job import Job

TOKENS = st.sampled_from(
    [
        b"1",
        b"x",
        b",",
        b"\n",
        b"\r\n",
        b"\r",
        b'"',
        b'""',
        b"\0",
        b"\xff",
        b"\xc3\xa9",
        b"nan",
        b"1e999",
        b"2000",
        b" ",
    ]
)
JSON_TOKENS = st.sampled_from(
    [
        b'{"age": 1, "plan": "x"}',
        b'{"age":',
        b"}",
        b"\n",
        b"[",
        b"NaN",
        b'"\\ud800"',
        b"1e999",
        b"null",
        b"\xff",
    ]
)
ROWS = 10_000


def outcome(folder: Path, data: bytes, form: str, step: int) -> None:
    (folder / "rows").write_bytes(data)
    places: dict[str, Any] = {"bad": str(folder / "bad.jsonl"), "maxBad": ROWS, "force": True, "fresh": True}
    job = Job(str(folder / "rows"), str(folder / "out.csv"), inputFormat=form, chunkBytes=step, **places)
    try:
        done = score(job)
    except BadInput:
        return
    assert done.seen == done.good + done.bad
    assert len((folder / "out.csv").read_text().splitlines()) == done.good + 1
    bad = [json.loads(line) for line in (folder / "bad.jsonl").read_text().splitlines()]
    assert len(bad) == done.bad
    assert [row["line"] for row in bad] == sorted(row["line"] for row in bad)
    assert all(row["reason"] for row in bad)


@settings(max_examples=30)
@given(tokens=st.lists(TOKENS, max_size=60), step=st.integers(1, 100))
@example(tokens=[b"1", b",", b'"', b"x", b"\n"] * 5, step=7)
def test_any_csv(tmp_path_factory: pytest.TempPathFactory, tokens: list[bytes], step: int) -> None:
    outcome(tmp_path_factory.mktemp("rows"), b"age,plan\n" + b"".join(tokens), "csv", step)


@settings(max_examples=30)
@given(tokens=st.lists(JSON_TOKENS, max_size=40), step=st.integers(1, 100))
@example(tokens=[b"[" * 100_000], step=1 << 20)
def test_any_json_lines(tmp_path_factory: pytest.TempPathFactory, tokens: list[bytes], step: int) -> None:
    outcome(tmp_path_factory.mktemp("rows"), b"".join(tokens), "jsonl", step)


def test_one_package_is_lent_and_no_other(tmp_path: Path) -> None:
    for name in ("lent_one", "lent_two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("from . import part\n")
        (tmp_path / name / "part.py").write_text("")
    borrow("lent_one", str(tmp_path))
    try:
        assert sys.modules["lent_one"].__file__ == str(tmp_path / "lent_one" / "__init__.py")
        with pytest.raises(SiteError, match="needs pyarrow, which is not there: No module named 'lent_two'"):
            borrow("lent_two", "")
    finally:
        sys.meta_path.pop()
        for name in ("lent_one", "lent_one.part"):
            del sys.modules[name]
