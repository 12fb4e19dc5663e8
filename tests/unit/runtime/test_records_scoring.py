"""Records scored and converted: what is bad, going on after an end too early, control totals, checks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from scoring import Schema, run_of, score, tensor

from mlship_runtime.errors import BadInput
from mlship_runtime.scoring import records_command
from mlship_runtime.scoring.job import Job
from mlship_runtime.scoring.journal import journal_path
from mlship_runtime.scoring.opening import settled
from mlship_runtime.scoring.rows import Unwritable
from mlship_runtime.scoring.run import Stopped
from mlship_runtime.scoring.totals import COPYBOOK, read_totals

IN = """\
       01  CUST.
           05  CUST-ID       PIC 9(6).
           05  AGE           PIC S9(4)V9 COMP-3.
           05  PLAN          PIC X(8).
           05  CREDIT        PIC S9(7)V99.
"""
OUT = """\
       01  SCORED.
           05  CUST-ID       PIC 9(6) COMP-3.
           05  LABEL         PIC 9.
           05  P             PIC S9(1)V9(6) COMP-3 OCCURS 2.
           05  FILLER        PIC X(2).
           05  CREDIT        PIC S9(9)V99 COMP-3.
"""
AGES = Schema((tensor("age"), tensor("plan", "BYTES")), (tensor("label", "INT64"), tensor("p", "FP32", 2)))


def customer(at: int, age: str = "") -> str:
    return f"{at},{age or f'{at * 7 % 90}.{at % 10}'},{'pro' if at % 3 else 'basic'},{at - 40}.25"


def customers(folder: Path, count: int, **form: Any) -> Path:
    """Records made by the converter from CSV."""
    rows, records = folder / "rows.csv", folder / "cust.dat"
    rows.write_text("cust_id,age,plan,credit\n" + "".join(customer(at) + "\n" for at in range(count)))
    convert(folder, rows, records, writes={"copybook": IN, **form}, inputFormat="csv", outputFormat="records")
    return records


def convert(folder: Path, source: Path, output: Path, **more: Any) -> dict[str, Any]:
    words = {"schemaVersion": 1, "input": str(source), "output": str(output), **more}
    return command(folder, {"verb": "convert", "job": words})


def command(folder: Path, words: dict[str, Any]) -> dict[str, Any]:
    """What `boot.py records` answers."""
    job, said = folder / "job.json", folder / "said.json"
    job.write_text(json.dumps({"schemaVersion": 1, **words}))
    with said.open("wb") as file:
        code = records_command.main(str(job), str(file.fileno()))
    answer: dict[str, Any] = json.loads(said.read_text())
    job.unlink()
    said.unlink()
    return {"code": code, **(answer["report"] if answer["ok"] else answer["error"])}


def job(folder: Path, **more: Any) -> Job:
    given = {
        "input": str(folder / "cust.dat"),
        "output": str(folder / "scored.dat"),
        "inputFormat": "records",
        "outputFormat": "records",
        "reads": {"copybook": IN},
        "writes": {"copybook": OUT},
        "chunkBytes": 200,
        "checkpoint": 0.0,
    }
    return settled(Job(**{**given, **more}), AGES)


def as_csv(folder: Path, records: Path, copybook: str, **form: Any) -> list[str]:
    out = folder / "shown.csv"
    reads = {"copybook": copybook, **form}
    assert convert(folder, records, out, reads=reads, inputFormat="records", outputFormat="csv")["code"] == 0
    lines = out.read_text().splitlines()
    out.unlink()
    return lines


@pytest.mark.parametrize("form", [{}, {"code_page": "cp273", "recfm": "vb"}, {"recfm": "vb-blocks"}])
def test_records_in_records_out(tmp_path: Path, form: dict[str, str]) -> None:
    customers(tmp_path, 100, **form)
    given = job(tmp_path, reads={"copybook": IN, **form}, writes={"copybook": OUT, **form})
    assert given.keep == ("cust_id", "credit")
    done = score(given, AGES)
    assert (done.seen, done.good, done.bad) == (100, 100, 0)
    lines = as_csv(tmp_path, tmp_path / "scored.dat", OUT, **form)
    assert lines[0] == "cust_id,label,p_0,p_1,credit"
    assert [line.split(",")[0] for line in lines[1:]] == [str(at) for at in range(100)]
    assert lines[1] == "0,0,0.500000,0.500000,-40.25"
    answers = {
        "output": str(tmp_path / "plain.csv"),
        "outputFormat": "csv",
        "writes": {},
        "keep": ("cust_id",),
    }
    score(job(tmp_path, reads={"copybook": IN, **form}, **answers), AGES)
    plain = [line.split(",") for line in (tmp_path / "plain.csv").read_text().splitlines()]
    for exact, shown in zip(plain[1:], (line.split(",") for line in lines[1:]), strict=True):
        assert exact[:2] == shown[:2]
        assert abs(float(exact[3]) - float(shown[3])) <= 5.1e-7


def test_a_bad_record_ends_the_run_with_its_number_and_field(tmp_path: Path) -> None:
    data = bytearray(customers(tmp_path, 60).read_bytes())
    data[26 * 30 + 7] = 0xFF
    (tmp_path / "cust.dat").write_bytes(data)
    with pytest.raises(BadInput, match=r"cust.dat, record 31, AGE: X'\w+' is no number of PIC S9\(4\)V9"):
        score(job(tmp_path), AGES)
    given = job(tmp_path, bad=str(tmp_path / "bad.jsonl"), maxBad=2, totals=str(tmp_path / "t.json"))
    done = score(given, AGES)
    assert (done.seen, done.good, done.bad) == (60, 59, 1)
    (bad,) = [json.loads(line) for line in (tmp_path / "bad.jsonl").read_text().splitlines()]
    assert (bad["line"], bad["field"], bytes.fromhex(bad["text"])) == (31, "AGE", data[26 * 30 : 26 * 31])
    found = read_totals(str(tmp_path / "t.json"))
    assert (found["recordsIn"], found["records"], found["recordsBad"]) == (60, 59, 1)
    numbers = [line.split(",")[0] for line in as_csv(tmp_path, tmp_path / "scored.dat", OUT)[1:]]
    assert numbers == [str(at) for at in range(60) if at != 30]


def test_an_answer_that_does_not_fit_is_a_bad_record(tmp_path: Path) -> None:
    customers(tmp_path, 60)
    small = OUT.replace("PIC S9(9)V99 COMP-3", "PIC S9(1)V99 COMP-3")
    with pytest.raises(BadInput, match=r"record 1, CREDIT: -40.25 does not fit PIC S9\(1\)V99"):
        score(job(tmp_path, writes={"copybook": small}), AGES)
    given = job(tmp_path, writes={"copybook": small}, bad=str(tmp_path / "bad.jsonl"), maxBad=100, fresh=True)
    done = score(given, AGES)
    kept = [at for at in range(60) if abs(at - 40 + (0.25 if at >= 40 else -0.25)) < 10]
    assert done.good == len(kept)
    lines = as_csv(tmp_path, tmp_path / "scored.dat", small)
    assert [line.split(",")[0] for line in lines[1:]] == [str(at) for at in kept]


@pytest.mark.parametrize("stop_after", [1, 3, 7])
def test_a_run_that_was_ended_goes_on_with_the_same_totals(tmp_path: Path, stop_after: int) -> None:
    customers(tmp_path, 100, recfm="vb")
    forms = {"reads": {"copybook": IN, "recfm": "vb"}, "totals": str(tmp_path / "t.json")}
    score(job(tmp_path, output=str(tmp_path / "whole.dat"), **forms), AGES)
    wanted = {name: (tmp_path / name).read_bytes() for name in ("t.json", "t.dat")}
    for name in wanted:
        (tmp_path / name).unlink()
    asked: list[int] = []
    given = job(tmp_path, **forms)
    with pytest.raises(Stopped):
        score(given, AGES, stop=lambda: bool(asked.append(1)) or len(asked) > stop_after)
    assert journal_path(given).exists()
    score(given, AGES)
    assert (tmp_path / "scored.dat").read_bytes() == (tmp_path / "whole.dat").read_bytes()
    assert {name: (tmp_path / name).read_bytes() for name in wanted} == wanted


def test_other_forms_are_other_settings(tmp_path: Path) -> None:
    customers(tmp_path, 100)
    with pytest.raises(Stopped):
        score(job(tmp_path), AGES, stop=lambda: True)
    with pytest.raises(BadInput, match="other settings"):
        score(job(tmp_path, writes={"copybook": OUT, "code_page": "cp500"}), AGES)


def test_control_totals_are_worked_out_again_and_compared(tmp_path: Path) -> None:
    customers(tmp_path, 50)
    totals = tmp_path / "t.json"
    score(job(tmp_path, totals=str(totals)), AGES)
    words = {"verb": "check", "form": {"copybook": OUT}, "totals": str(totals)}
    found = command(tmp_path, {**words, "input": str(tmp_path / "scored.dat")})
    assert (found["code"], found["records"], found["differences"]) == (0, 50, [])
    sums = {field["name"]: field["total"] for field in found["totals"]}
    assert sums["CUST-ID"] == str(sum(range(50)))
    assert sums["CREDIT"] == "-782.50"
    data = bytearray((tmp_path / "scored.dat").read_bytes())
    data[-2] ^= 0x10
    (tmp_path / "other.dat").write_bytes(data)
    found = command(tmp_path, {**words, "input": str(tmp_path / "other.dat")})
    assert found["code"] == 8
    assert [one["field"] for one in found["differences"]] == ["CREDIT"]
    (tmp_path / "short.dat").write_bytes(data[:-21])
    found = command(tmp_path, {**words, "input": str(tmp_path / "short.dat")})
    assert found["differences"][0] == {"field": "", "found": "49", "wanted": "50"}
    lines = as_csv(tmp_path, tmp_path / "t.dat", COPYBOOK)
    assert lines[1] == "R,SCORED,0,0,50"
    assert "S,CREDIT,2,0,-78250" in lines


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data[:-1], "record 50, the last, is not whole"),
        (lambda data: bytes(data).decode("cp037").encode("latin-1", "replace"), "ascii"),
        (
            lambda data: b"".join(b"\0\x1e\0\0" + data[at : at + 26] for at in range(0, len(data), 26)),
            "--recfm vb",
        ),
        (lambda data: data.replace(b"\xd5", b"\x65"), "CREDIT"),
    ],
)
def test_a_check_says_what_is_wrong_and_what_was_perhaps_meant(
    tmp_path: Path, change: Any, said: str
) -> None:
    records = customers(tmp_path, 50)
    records.write_bytes(change(records.read_bytes()))
    found = command(tmp_path, {"verb": "check", "input": str(records), "form": {"copybook": IN}})
    assert found["code"] == 8
    assert said in " ".join(
        [found["problem"], *found["guesses"], *(field["name"] for field in found["fields"])]
    )


def test_a_check_names_the_code_page_and_the_signs_that_fit(tmp_path: Path) -> None:
    text = "       01 R.\n           05 T PIC X(12).\n           05 N PIC S9(4).\n"
    rows, records = tmp_path / "rows.csv", tmp_path / "r.dat"
    rows.write_text("t,n\nMüller-Öfen,-12\nÄhrenfeld,-7\nStraße,1\n")
    writes = {"copybook": text, "code_page": "cp273"}
    convert(tmp_path, rows, records, writes=writes, inputFormat="csv", outputFormat="records")
    page = {"copybook": text, "code_page": "cp273"}
    assert command(tmp_path, {"verb": "check", "input": str(records), "form": page})["code"] == 0
    leading = {"copybook": text.replace("S9(4)", "S9(4) SIGN LEADING"), "code_page": "cp037"}
    found = command(tmp_path, {"verb": "check", "input": str(records), "form": leading})
    assert "its texts look like --code-page cp273, not cp037" in found["guesses"]
    assert "its signs look trailing, not leading" in found["guesses"]


@pytest.mark.parametrize(
    ("writes", "said"),
    [
        (OUT.replace("LABEL ", "LABELS"), "the input has no column labels"),
        (OUT.replace("PIC 9.", "PIC X."), "label is a number, and LABEL is PIC X"),
        (OUT.replace("PIC S9(1)V9(6) COMP-3", "COMP-2"), "is COMP-2, which is not written"),
        (OUT.replace("OCCURS 2", "OCCURS 3"), "the input has no column p_2"),
    ],
)
def test_a_copybook_that_does_not_fit_is_refused_before_anything_is_written(
    tmp_path: Path, writes: str, said: str
) -> None:
    customers(tmp_path, 5)
    with pytest.raises(BadInput, match=said):
        run_of(job(tmp_path, writes={"copybook": writes}), AGES)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cust.dat", "rows.csv"]


def test_what_the_model_reads_has_to_be_what_the_record_holds(tmp_path: Path) -> None:
    customers(tmp_path, 5)
    numbers = IN.replace("PLAN          PIC X(8)", "PLAN          PIC 9(8)")
    with pytest.raises(BadInput, match="plan is a text, and PLAN a number"):
        score(job(tmp_path, reads={"copybook": numbers}), AGES)
    with pytest.raises(BadInput, match="no column age, which is read"):
        score(job(tmp_path, reads={"copybook": IN.replace("AGE", "YEARS")}), AGES)
    score(job(tmp_path, reads={"copybook": IN.replace("AGE", "YEARS"), "names": {"YEARS": "age"}}), AGES)


def test_blanks_are_missing_values_where_the_schema_allows_them(tmp_path: Path) -> None:
    data = bytearray(customers(tmp_path, 3).read_bytes())
    data[26 + 6 : 26 + 9] = b"\x40" * 3
    (tmp_path / "cust.dat").write_bytes(data)
    with pytest.raises(BadInput, match="record 2, AGE: is missing, and not nullable"):
        score(job(tmp_path), AGES)
    nullable = Schema((tensor("age", nullable=True), AGES.inputs[1]), AGES.outputs)
    with pytest.raises(BadInput, match=r"record 2, P\(1\): is not a number"):  # NaN has no form in a record
        score(job(tmp_path), nullable)


def test_records_become_json_lines_and_back(tmp_path: Path) -> None:
    records = customers(tmp_path, 40)
    lines = tmp_path / "rows.jsonl"
    convert(tmp_path, records, lines, reads={"copybook": IN}, inputFormat="records", outputFormat="jsonl")
    first = json.loads(lines.read_text().splitlines()[1])
    assert first == {"cust_id": 1, "age": 7.1, "plan": "pro", "credit": -39.25}
    back = tmp_path / "back.dat"
    convert(tmp_path, lines, back, writes={"copybook": IN}, inputFormat="jsonl", outputFormat="records")
    assert back.read_bytes() == records.read_bytes()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"verb": "erase"}, "there is no 'erase'"),
        ({"verb": "check", "input": "/nowhere", "form": {"copybook": IN}}, "cannot be read"),
        ({"verb": "check", "input": "/nowhere"}, "no form of records"),
        (
            {"verb": "check", "form": {"copybook": IN}, "input": "/x", "totals": "/nowhere"},
            "no control totals",
        ),
        ({"verb": "check", "packages": "/x"}, "no list of folders"),
    ],
)
def test_jobs_that_cannot_be_done(tmp_path: Path, words: dict[str, Any], said: str) -> None:
    answer = command(tmp_path, words)
    assert answer["code"] == 2
    assert said in answer["what"]


def test_what_cannot_be_written_names_each_row() -> None:
    assert str(Unwritable({1: ("A", "too large"), 2: ("B", "")})) == "2 rows"


VARYING = """\
       01  R.
           05  N             PIC 9.
           05  T             PIC S9(3) COMP-3
               OCCURS 0 TO 3 DEPENDING ON N.
           05  FILLER        PIC 9(2).
           05  TAIL          PIC S9(3).
"""


def test_what_stands_behind_a_table_that_varies_is_found_and_shown(tmp_path: Path) -> None:
    rows, records = tmp_path / "rows.csv", tmp_path / "r.dat"
    rows.write_text("n,t_0,t_1,t_2,tail\n2,7,8,,-5\n0,,,,6\n3,1,2,3,9\n")
    form = {"copybook": VARYING, "recfm": "vb"}
    done = convert(tmp_path, rows, records, writes=form, inputFormat="csv", outputFormat="records")
    assert done["rowsOut"] == 3
    data = bytearray(records.read_bytes())
    assert (
        bytes(data).hex()
        == "000e0000f2007c008cf0f0f0f0d5000a0000f0f0f0f0f0c600100000f3001c002c003cf0f0f0f0c9"
    )
    assert as_csv(tmp_path, records, VARYING, recfm="vb") == rows.read_text().splitlines()
    data[22] = 0x5A
    records.write_bytes(data)
    found = command(tmp_path, {"verb": "check", "input": str(records), "form": form})
    (field,) = found["fields"]
    assert field == {"name": "TAIL", "bad": 1, "record": 2, "reason": "X'f05ac6' is no number of PIC S9(3)"}
    fixed = convert(
        tmp_path,
        rows,
        tmp_path / "f.dat",
        writes={"copybook": VARYING},
        inputFormat="csv",
        outputFormat="records",
    )
    assert fixed["code"] == 2
    assert "varies in length" in fixed["what"]
