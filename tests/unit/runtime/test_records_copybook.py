"""Copybooks: what is read of them, where each field lies, and what is refused, with line and column."""

from __future__ import annotations

import pytest

from mlship_runtime.bundle.spec import Seen, TensorSpec
from mlship_runtime.errors import BadInput
from mlship_runtime.records.describe import described
from mlship_runtime.records.faults import CopybookError
from mlship_runtime.records.form import RecordForm, form_of
from mlship_runtime.records.layout import Layout
from mlship_runtime.records.schema import Schema
from mlship_runtime.records.write import copybook_of


def fixed(*lines: str) -> str:
    return "".join(f"       {line}\n" for line in lines)


def layout(*lines: str, **more: str) -> Layout:
    return RecordForm(fixed(*lines), **more).layout()  # type: ignore[arg-type]


def places(found: Layout) -> dict[str, tuple[int, int]]:
    return {field.name: (field.offset, field.length) for field in found.fields}


def test_fields_lie_one_after_the_other() -> None:
    found = layout(
        "01  REC.",
        "    05  ID        PIC X(10).",
        "    05  AMOUNT    PIC S9(7)V99 COMP-3.",
        "    05  RATE      PIC SV9(4) USAGE IS PACKED-DECIMAL.",
        "    05  COUNTER   PIC 9(9) BINARY.",
        "    05  SMALL     PIC S9(4) COMP-5.",
        "    05  LARGE     PIC S9(18) COMPUTATIONAL.",
        "    05  SHORT-F   COMP-1.",
        "    05  LONG-F    USAGE COMP-2.",
        "    05  SIGNED-Z  PIC S9(3) SIGN IS TRAILING SEPARATE CHARACTER.",
        "    05  FILLER    PIC X(3).",
    )
    assert places(found) == {
        "ID": (0, 10), "AMOUNT": (10, 5), "RATE": (15, 3), "COUNTER": (18, 4), "SMALL": (22, 2),
        "LARGE": (24, 8), "SHORT-F": (32, 4), "LONG-F": (36, 8), "SIGNED-Z": (44, 4), "FILLER": (48, 3),
    }  # fmt: skip
    assert found.length == 51


def test_tables_are_unrolled_and_redefinitions_lie_side_by_side() -> None:
    found = layout(
        "01  REC.",
        "    05  DAY-NUMBER     PIC 9(8).",
        "    05  DAY-PARTS REDEFINES DAY-NUMBER.",
        "        10  YEAR       PIC 9(4).",
        "        10  MONTH      PIC 99.",
        "        10  FILLER     PIC 99.",
        "    05  OUTER OCCURS 2 TIMES INDEXED BY I J.",
        "        10  INNER      PIC S9 OCCURS 2.",
        "        10  MARK       PIC X.",
    )
    assert places(found)["MONTH"] == (4, 2)
    assert places(found)["INNER(2,1)"] == (11, 1)
    assert found.length == 14
    columns = {field.name: field.column for field in found.fields if not field.filler}
    assert columns["INNER(2,1)"] == "inner_1_0"
    assert columns["DAY-NUMBER"] == "day_number"
    assert [field.view for field in found.fields][:3] == ["", "DAY-PARTS", "DAY-PARTS"]


def test_names_that_stand_twice_are_told_apart_by_their_groups() -> None:
    found = layout(
        "01 R.", " 05 HOME.", "  10 STREET PIC X.", " 05 WORK.", "  10 STREET PIC X.", " 05 AGE PIC 9."
    )
    assert [field.column for field in found.fields] == ["home_street", "work_street", "age"]


def test_a_table_that_varies_moves_what_stands_behind_it() -> None:
    found = layout(
        "01 R.",
        "   05 N PIC 99.",
        "   05 T OCCURS 1 TO 4 TIMES DEPENDING ON N PIC X(3).",
        "   05 TAIL PIC X.",
    )
    assert (found.shortest, found.length) == (6, 15)
    two = {field.column: field.offset for field in found.at({"N": 2})}
    assert two == {"n": 0, "t_0": 2, "t_1": 5, "tail": 8}


def test_usage_and_sign_of_a_group_hold_for_what_lies_in_it() -> None:
    found = layout(
        "01 R COMP-3.", " 05 G SIGN LEADING SEPARATE USAGE DISPLAY.", "  10 A PIC S99.", " 05 B PIC 9."
    )
    assert [(field.kind, field.leading, field.separate) for field in found.fields] == [
        ("zoned", True, True),
        ("comp-3", False, False),
    ]


def test_slack_bytes_of_sync() -> None:
    found = layout(
        "01 R.", " 05 A PIC X.", " 05 B PIC S9(9) COMP SYNC.", " 05 C PIC X.", " 05 D COMP-2 SYNC."
    )
    assert places(found) == {"A": (0, 1), "B": (4, 4), "C": (8, 1), "D": (16, 8)}


def test_pictures_with_a_scale() -> None:
    lines = ["01 R."] + [
        f" 05 F{at} PIC {form}." for at, form in enumerate(("S9(3)V99", "99PPP", "SVPP9(2)", "PP99", "9V"))
    ]
    found = layout(*lines)
    assert [(field.digits, field.scale) for field in found.fields] == [
        (5, 2),
        (2, -3),
        (2, 4),
        (2, 4),
        (1, 0),
    ]


def test_conditions_and_renames_are_shown() -> None:
    text = fixed(
        "01 R.", " 05 A PIC X.", "    88 YES VALUE 'Y' 'J'.", "    88 LETTERS VALUES ARE 'A' THRU 'F'.",
        " 05 B PIC 9.", " 66 BOTH RENAMES A THRU B.", "77 ALONE PIC X.",
    )  # fmt: skip
    shown = described(Schema(RecordForm(text, record="R")))
    assert shown["conditions"][1]["values"] == ["'A'", "THRU", "'F'"]
    assert shown["renames"] == [{"name": "BOTH", "offset": 0, "length": 2}]


def test_reference_format() -> None:
    text = (
        "000100* A COMMENT                                                       X\n"
        "000200 01  REC.                                                         IGNORED\n"
        "000300     05  NAME-THAT-GOES-\n"
        "000400-        ON              PIC X(5)  VALUE 'AB''C *> NO COMMENT'.\n"
        "      /\n"
        "       EJECT\n"
        "           05  B PIC S9(3)  *> said inline\n"
        "               COMP-3.\n"
        "      D    05  DEBUG-ONLY PIC X.\n"
        "           05  C PIC X(70) VALUE 'a literal that goes on and on and on and\n"
        "      -    'on and on'.\n"
    )
    assert [field.name for field in RecordForm(text).layout().fields] == ["NAME-THAT-GOES-ON", "B", "C"]


@pytest.mark.parametrize("first", ["01 R.\n 05 A PIC X.\n", ">>SOURCE FORMAT FREE\n01 R.\n05 A PIC X.\n"])
def test_free_format(first: str) -> None:
    text = (
        first + "*> a comment\n05 A-VERY-LONG-NAME-INDEED                                        PIC 9(4).\n"
    )
    assert RecordForm(text).layout().length == 5


@pytest.mark.parametrize(
    ("lines", "spot", "what"),
    [
        (["01 R.", " 05 A PIC ZZ9.99."], (2, 18), "edited for print"),
        (["01 R.", " 05 A PIC 9(3)-."], (2, 18), "edited for print"),
        (["01 R.", " 05 A PIC 9(32)."], (2, 18), "more than 31"),
        (["01 R.", " 05 A PIC N(3)."], (2, 18), "double bytes"),
        (["01 R.", " 05 A PIC Q."], (2, 18), "no picture"),
        (["01 R.", " 05 A PIC 9(20) COMP."], (2, 9), "more than 18"),
        (["01 R.", " 05 A PIC X COMP-3."], (2, 9), "neither COMP-3 nor signed"),
        (["01 R.", " 05 A PIC 9 SIGN LEADING."], (2, 9), "without S"),
        (["01 R.", " 05 A PIC 9 BLANK WHEN ZERO."], (2, 9), "edited for print"),
        (["01 R.", " 05 A USAGE POINTER."], (2, 20), "POINTER is not read"),
        (["01 R.", " 05 A."], (2, 9), "neither a picture nor items"),
        (["01 R.", " 05 A PIC X", " 05 B PIC X."], (3, 9), "no clause that is known"),
        (["01 R.", " 05 A PIC X.", "   10 B PIC X."], (3, 11), "nothing lies in it"),
        (["01 R.", " 05 B REDEFINES C PIC X."], (2, 9), "no item before it"),
        (["01 R.", " 05 A PIC X.", " 05 B REDEFINES A PIC XX."], (3, 9), "is 2 bytes long"),
        (["01 R.", " 05 A OCCURS 1 TO 3 PIC X."], (2, 21), "depends on nothing"),
        (["01 R.", " 05 A OCCURS 1 TO 3 DEPENDING ON N PIC X."], (2, 9), "no whole number here"),
        (["01 R.", " 05 A OCCURS 2 PIC S9(4) COMP SYNC."], (2, 9), "SYNC in the table"),
        (["01 R.", " 05 A PIC X", "COPY OTHER."], (3, 8), "no clause"),
        (["01 R.", " COPY OTHER."], (2, 9), "COPY is not followed"),
        (["01 R.", " 05 :TAG:-A PIC X."], (2, 12), "no name"),
        (["01 R.", " 05 A PIC X VALUE 'abc."], (2, 26), "no end"),
        (["01 R.", " 55 A PIC X."], (2, 9), "no level 55"),
        (["01 R.", " 05 A PIC X"], (2, 18), "ends where"),
        (["88 A VALUE 1."], (1, 8), "there is none"),
        (["01 R.", " 05 A PIC X(99999)."], (1, 8), "longer than"),
        ([""], (1, 1), "describes no record"),
    ],
)
def test_what_is_refused_says_where(lines: list[str], spot: tuple[int, int], what: str) -> None:
    with pytest.raises(CopybookError, match=what) as caught:
        layout(*lines, name="c.cpy")
    assert caught.value.spot == spot
    assert str(caught.value).startswith(f"c.cpy, line {spot[0]}, column {spot[1]}: ")


def test_one_of_several_records_is_chosen() -> None:
    lines = ["01 A.", " 05 X1 PIC X.", "01 B.", " 05 X2 PIC XX."]
    with pytest.raises(BadInput, match="describes 2 records: A, B"):
        layout(*lines)
    assert layout(*lines, record="b").length == 2
    with pytest.raises(BadInput, match="has no record C"):
        layout(*lines, record="C")
    assert layout(" 05 X1 PIC X.", " 05 X2 PIC XX.").length == 3


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("recfm", "fba"),
        ("code_page", "cp9999"),
        ("lrecl", "80"),
        ("colour", 1),
        ("copybook", ""),
        ("names", []),
    ],
)
def test_a_form_is_checked(part: str, value: object) -> None:
    with pytest.raises(BadInput):
        form_of({"copybook": fixed("01 R.", " 05 A PIC X."), part: value})


def test_names_are_mapped_and_a_name_that_maps_nothing_is_refused() -> None:
    text = fixed("01 R.", " 05 CUST-AGE PIC 9(3).", " 05 B PIC X.")
    assert list(Schema(RecordForm(text, names={"CUST-AGE": "age"})).columns) == ["age", "b"]
    with pytest.raises(BadInput, match="has no field NOPE"):
        Schema(RecordForm(text, names={"NOPE": "age"}))
    with pytest.raises(BadInput, match="are called b"):
        Schema(RecordForm(text, names={"CUST-AGE": "b"}))


def test_a_copybook_is_made_from_a_schema() -> None:
    tensors = (
        TensorSpec("label", "BYTES", (-1,), False, seen=Seen(("yes", "no"))),
        TensorSpec("probabilities", "FP32", (-1, 2), False, ("no", "yes")),
        TensorSpec("a name with blanks that is far too long for COBOL", "INT32", (-1, 1), False),
        TensorSpec("grid", "FP64", (-1, 2, 3), False),
        TensorSpec("flag", "BOOL", (-1,), False),
    )
    text = copybook_of("churn-outputs", tensors, (("CUST-ID", "X(10)"),))
    assert all(len(line) <= 72 for line in text.splitlines())
    found = RecordForm(text).layout()
    assert found.record == "CHURN-OUTPUTS"
    by_name = {field.name: (field.kind, field.length) for field in found.fields}
    assert by_name["PROBABILITIES(2)"] == ("comp-3", 4)
    assert by_name["GRID(2,3)"] == ("comp-3", 8)
    assert by_name["ML-LABEL"] == ("text", 32)
    with pytest.raises(BadInput, match="no fixed number"):
        copybook_of("r", [TensorSpec("x", "FP32", (-1, -1), False)])
