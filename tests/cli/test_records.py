"""`mlship records`: describing, converting and checking, in the words of the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

COPYBOOK = """\
       01  CUST.
           05  CUST-ID       PIC 9(4).
           05  AMOUNT        PIC S9(3)V99 COMP-3.
           05  TOWN          PIC X(6).
"""
ROWS = "cust_id,amount,town\n1,12.50,Bonn\n2,-0.01,Köln\n3,999.99,\n"
Run = Callable[..., Any]


@pytest.fixture(autouse=True)
def files(run: Run) -> None:
    Path("c.cpy").write_text(COPYBOOK)
    Path("rows.csv").write_text(ROWS)


def test_a_copybook_is_described(run: Run) -> None:
    shown = run("records", "describe", "c.cpy", "--map", "CUST-ID=id")
    assert shown.code == 0
    assert shown.out.splitlines()[0] == "CUST: 13 bytes"
    assert "4       3       AMOUNT   comp-3  S9(3)V99  amount" in shown.out
    result = json.loads(run("records", "describe", "c.cpy", "--json").out)["result"]
    assert result["fields"][1]["scale"] == 2


def test_a_copybook_that_cannot_be_read_says_where(run: Run) -> None:
    Path("bad.cpy").write_text(COPYBOOK.replace("X(6)", "ZZ9"))
    ended = run("records", "describe", "bad.cpy")
    assert ended.code == 2
    assert ended.err.startswith("error: bad.cpy, line 4, column 34: ZZ9 is edited for print")


def test_there_and_back_and_checked(run: Run) -> None:
    words = ["--copybook", "c.cpy", "--code-page", "cp1047"]
    made = run("records", "convert", "rows.csv", "rows.dat", *words, "--totals", "t.json")
    assert made.out.startswith("3 of 3 records converted"), made.err
    assert Path("rows.dat").stat().st_size == 39
    again = run("records", "convert", "rows.dat", "back.csv", *words, "--json")
    assert json.loads(again.out)["result"]["columns"] == ["cust_id", "amount", "town"]
    assert Path("back.csv").read_text() == ROWS
    streamed = run("records", "convert", "rows.dat", "-", *words, "--format", "csv")
    assert streamed.code == 0, streamed.err
    checked = run("records", "check", "rows.dat", *words, "--totals", "t.json")
    assert checked.code == 0
    assert "the control totals are those of t.json" in checked.out
    assert "sum of AMOUNT   1012.48" in checked.out
    Path("rows.dat").write_bytes(Path("rows.dat").read_bytes()[:-3])
    short = run("records", "check", "rows.dat", *words, "--totals", "t.json")
    assert short.code == 2
    assert "record 3, the last, is not whole: 10 bytes are there, a record has 13" in short.out


def test_what_does_not_fit_ends_with_its_line_and_field(run: Run) -> None:
    Path("rows.csv").write_text(ROWS.replace("12.50", "1000"))
    ended = run("records", "convert", "rows.csv", "rows.dat", "--copybook", "c.cpy")
    assert ended.code == 2
    assert "rows.csv, line 2, AMOUNT: 1000.00 does not fit PIC S9(3)V99" in ended.err
    words = ["--bad", "bad.jsonl", "--max-bad", "1"]
    made = run("records", "convert", "rows.csv", "rows.dat", "--copybook", "c.cpy", *words)
    assert made.out.startswith("2 of 3 records converted, 1 bad")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["convert", "rows.csv", "rows.dat"], "--copybook is missing"),
        (["check", "rows.dat"], "--copybook is missing"),
        (["check", "rows.dat", "--copybook", "c.cpy"], "rows.dat cannot be read"),
        (["check", "rows.dat", "--copybook", "no.cpy"], "the copybook no.cpy cannot be read"),
        (["check", "rows.dat", "--copybook", "c.cpy", "--recfm", "u"], "'u' is no recfm"),
        (["check", "rows.dat", "--copybook", "c.cpy", "--code-page", "x"], "'x' is no code page"),
        (["describe", "c.cpy", "--map", "AGE"], "'AGE' maps nothing"),
        (["describe", "c.cpy", "--map", "AGE=age"], "c.cpy has no field AGE"),
        (["convert", "rows.dat", "rows.txt", "--copybook", "c.cpy"], "the format is not known"),
    ],
)
def test_words_that_do_not_go_together(run: Run, words: list[str], said: str) -> None:
    ended = run("records", *words)
    assert ended.code == 2
    assert said in ended.err
    assert ended.err.count("\n") == 1
    assert not Path("rows.dat").exists()


def test_settings_of_the_project_hold_where_the_command_says_nothing(run: Run) -> None:
    Path("mlship.toml").write_text(
        '[project]\nname = "p"\n[model]\nsource = "m.onnx"\n[records]\ncode_page = "cp500"\n'
        'names = { "CUST-ID" = "id", "OTHER" = "x" }\n'
    )
    shown = json.loads(run("records", "describe", "c.cpy", "--json").out)["result"]
    assert shown["fields"][0]["column"] == "id"
    Path("rows.csv").write_text(ROWS.replace("cust_id", "id"))
    assert run("records", "convert", "rows.csv", "rows.dat", "--copybook", "c.cpy").code == 0
    assert Path("rows.dat").read_bytes()[7:13] == "Bonn  ".encode("cp500")


def test_a_name_is_mapped_in_the_copybook_that_has_it() -> None:
    from mlship.errors import UsageError
    from mlship.ops.context import Context
    from mlship.ops.record_forms import Said, record_form

    Path("out.cpy").write_text(COPYBOOK.replace("CUST-ID ", "KEY     "))
    said = Said(names=("CUST-ID=id", "key=id"))
    for copybook, other, names in (
        ("c.cpy", "out.cpy", {"CUST-ID": "id"}),
        ("out.cpy", "c.cpy", {"KEY": "id"}),
    ):
        assert record_form(Context(), copybook, said, others=(other,)).names == names
    with pytest.raises(UsageError, match=r"c\.cpy has no field NOPE"):
        record_form(Context(), "c.cpy", Said(names=("NOPE=id",)), others=("out.cpy",))


def test_records_may_be_longer_than_their_copybook(run: Run) -> None:
    words = ["--copybook", "c.cpy", "--lrecl", "80"]
    assert run("records", "convert", "rows.csv", "rows.dat", *words).code == 0
    assert Path("rows.dat").stat().st_size == 240
    assert run("records", "check", "rows.dat", *words).code == 0
    assert run("records", "convert", "rows.dat", "back.csv", *words).code == 0
    assert Path("back.csv").read_text() == ROWS
    short = run("records", "check", "rows.dat", "--copybook", "c.cpy", "--lrecl", "5")
    assert "records of 5 bytes are shorter than c.cpy says" in short.err
