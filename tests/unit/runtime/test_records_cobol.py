"""Against a real COBOL: it reads what we write, we read what it writes, its totals are ours to the cent."""

from __future__ import annotations

import random
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from cobol_programs import compiled, reader, run, tables, values, writer
from record_round_trip import Case, made_case, read, written
from scoring import Schema as Tensors
from scoring import run_of, score, tensor

from mlship_runtime.records.form import RecordForm
from mlship_runtime.records.schema import Schema
from mlship_runtime.scoring.forms import scorer_for
from mlship_runtime.scoring.job import Job
from mlship_runtime.scoring.opening import opened, settled
from mlship_runtime.scoring.totals import COPYBOOK
from mlship_runtime.scoring.workers import Alone

pytestmark = pytest.mark.server
SAMPLE, TABLE = range(2), range(2, 62)
RECORDS, MANY = 10_000, 1_000_000


@pytest.fixture(autouse=True)
def cobol(require: Callable[[str], None]) -> None:
    require("cobc")


def case_of(seed: int) -> Case:
    """In a form that GnuCOBOL on this machine has: its COMP-5 has the low byte first, and one or two digits
    are a single byte, where z/OS has two."""
    case = made_case(seed, records=4, digits=18, odo=False)
    text = case.form.copybook
    if any(field.kind == "comp-5" and field.digits < 3 for field in case.form.layout().fields):
        text = text.replace("COMP-5", "COMP")
    page = random.Random(seed).choice(("cp037", "cp1047", "cp500"))
    return case._replace(form=RecordForm(text, code_page=page, native="little"))


def agree(seed: int, folder: Path) -> None:
    case = case_of(seed)
    schema = Schema(case.form)
    ours, theirs = folder / "ours", folder / "theirs"
    ours.write_bytes(written(case))
    code, lines = run(compiled(reader(case.form), folder), {"INFILE": ours})
    assert code == 0
    assert values(lines, schema) == case.rows, f"seed {seed}\n{case.form.copybook}"
    code, _ = run(compiled(writer(case.form, case.rows), folder), {"OUTFILE": theirs})
    assert code == 0
    assert read(case, theirs.read_bytes()) == case.rows, f"seed {seed}\n{case.form.copybook}"


@pytest.mark.parametrize("seed", SAMPLE)
def test_both_read_what_the_other_wrote(tmp_path: Path, seed: int) -> None:
    agree(seed, tmp_path)


@pytest.mark.faults
@pytest.mark.parametrize("seed", TABLE)
def test_both_read_what_the_other_wrote_for_many_layouts(tmp_path: Path, seed: int) -> None:
    agree(seed, tmp_path)


IN = """\
       01  CUST.
           05  CUST-ID       PIC X(10).
           05  AGE           PIC S9(3)V9 COMP-3.
           05  PLAN          PIC X(5).
           05  BALANCE       PIC S9(7)V99.
"""
OUT = """\
       01  SCORED.
           05  CUST-ID       PIC X(10).
           05  ML-LABEL      PIC 9.
           05  P             PIC S9(1)V9(6) COMP-3 OCCURS 2.
           05  BALANCE       PIC S9(7)V99 COMP-3.
"""
AGES = Tensors((tensor("age"), tensor("plan", "BYTES")), (tensor("label", "INT64"), tensor("p", "FP32", 2)))


def adder(form: RecordForm, length: int) -> str:
    """Adds up what the file has, and compares it with the control totals, as the step after scoring does.
    The return code is kept aside: a CALL or DISPLAY must not wipe it."""
    return f"""IDENTIFICATION DIVISION.
PROGRAM-ID. P.
ENVIRONMENT DIVISION.
INPUT-OUTPUT SECTION.
FILE-CONTROL.
    SELECT F ASSIGN TO INFILE ORGANIZATION SEQUENTIAL.
    SELECT T ASSIGN TO TOTALS ORGANIZATION SEQUENTIAL.
DATA DIVISION.
FILE SECTION.
FD F RECORDING MODE F.
{form.copybook}
01 RAW PIC X({length}).
FD T RECORDING MODE F.
{COPYBOOK}
01 T-RAW PIC X(80).
WORKING-STORAGE SECTION.
{tables(form)}
01 AT-END PIC 9 VALUE 0.
01 WS-RC PIC 9(4) VALUE 0.
01 WS-COUNT PIC S9(18) SIGN LEADING SEPARATE VALUE 0.
01 WS-BALANCE PIC S9(16)V99 SIGN LEADING SEPARATE VALUE 0.
01 WS-P PIC S9(12)V9(6) VALUE 0.
01 WS-HASH PIC S9(18) VALUE 0.
01 WS-AT PIC 9(4) COMP.
01 WS-SUM PIC S9(18).
PROCEDURE DIVISION.
    OPEN INPUT F
    PERFORM UNTIL AT-END = 1
      READ F AT END MOVE 1 TO AT-END NOT AT END PERFORM TAKE-ONE END-READ
    END-PERFORM
    CLOSE F
    DISPLAY WS-COUNT "/" WS-BALANCE "/" WS-P "/" WS-HASH
    OPEN INPUT T
    MOVE 0 TO AT-END
    PERFORM UNTIL AT-END = 1
      READ T AT END MOVE 1 TO AT-END NOT AT END PERFORM COMPARE-ONE END-READ
    END-PERFORM
    CLOSE T
    MOVE WS-RC TO RETURN-CODE
    GOBACK.
TAKE-ONE.
    ADD 1 TO WS-COUNT
    ADD BALANCE TO WS-BALANCE
    ADD P(2) TO WS-P
    PERFORM VARYING WS-AT FROM 1 BY 1 UNTIL WS-AT > 10
      COMPUTE WS-HASH = WS-HASH + WS-AT * (FUNCTION ORD(RAW(WS-AT:1)) - 1)
    END-PERFORM.
COMPARE-ONE.
    INSPECT T-RAW CONVERTING WS-E TO WS-A
    IF CT-BEYOND NOT = 0 MOVE 12 TO WS-RC END-IF
    MOVE CT-TOTAL TO WS-SUM
    EVALUATE TRUE
      WHEN CT-RECORDS
        IF CT-TOTAL NOT = WS-COUNT MOVE 8 TO WS-RC END-IF
      WHEN CT-FIELD = "BALANCE"
        IF CT-TOTAL NOT = WS-BALANCE * 100 MOVE 8 TO WS-RC END-IF
      WHEN CT-FIELD = "P(2)"
        IF CT-TOTAL NOT = WS-P * 1000000 MOVE 8 TO WS-RC END-IF
      WHEN CT-FIELD = "CUST-ID"
        IF CT-TOTAL NOT = WS-HASH MOVE 8 TO WS-RC END-IF
    END-EVALUATE.
"""


def scored_and_added_up(folder: Path, count: int) -> None:
    """Records made and scored here, added up there."""
    rows = folder / "rows.csv"
    balance = Decimal(0)
    with rows.open("w") as file:
        file.write("cust_id,age,plan,balance\n")
        for at in range(count):
            amount = Decimal((at * 7919) % 199_999_999 - 99_999_999).scaleb(-2)
            balance += amount
            file.write(f"C{at:08d},{at % 1000}.{at % 10},pro,{amount}\n")
    reads, writes = {"copybook": IN}, {"copybook": OUT}
    make = {"inputFormat": "csv", "outputFormat": "records", "writes": reads}
    nothing = Tensors((), ())
    job = settled(Job(str(rows), str(folder / "in.dat"), **make), nothing)  # type: ignore[arg-type]
    header = opened(job, nothing).header
    run_of(job, nothing).run(Alone(scorer_for(job, nothing, header, lambda columns: {})))
    asked = {"inputFormat": "records", "outputFormat": "records", "reads": reads, "writes": writes}
    files = {
        "input": str(folder / "in.dat"),
        "output": str(folder / "out.dat"),
        "totals": str(folder / "t.json"),
    }
    done = score(settled(Job(**files, **asked), AGES), AGES)  # type: ignore[arg-type]
    assert done.good == count
    form = RecordForm(OUT)
    program = compiled(adder(form, Schema(form).length), folder)
    given = {"INFILE": folder / "out.dat", "TOTALS": folder / "t.dat"}
    code, lines = run(program, given)
    counted, cents, *_ = lines[0].split("/")
    assert (int(counted), int(cents)) == (count, int(balance * 100))
    assert code == 0
    data = bytearray((folder / "out.dat").read_bytes())
    data[-2] ^= 0x10
    (folder / "out.dat").write_bytes(data)
    assert run(program, given)[0] == 8


def test_a_program_adds_up_what_was_scored_and_finds_the_control_totals(tmp_path: Path) -> None:
    scored_and_added_up(tmp_path, RECORDS)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_million_records_have_equal_totals_to_the_cent(tmp_path: Path) -> None:
    scored_and_added_up(tmp_path, MANY)
