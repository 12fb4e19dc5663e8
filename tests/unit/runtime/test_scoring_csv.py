"""CSV chunks to rows: the quick ways agree with the thorough one in values, bad rows and order."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scoring import tensor

from mlship_runtime.bundle.spec import TensorSpec
from mlship_runtime.errors import BadInput
from mlship_runtime.model.csv_columns import read_csv
from mlship_runtime.scoring.cells import read_cells
from mlship_runtime.scoring.csv_rows import CsvRows
from mlship_runtime.scoring.layout import lay_out
from mlship_runtime.scoring.rows import Rows

CELLS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(1 << 70), 1 << 70).map(str),
    st.sampled_from(
        ["", "NA", "nan", "null", "-0", "-0.0", "+1", "01", ".5", "5.", "1e400", "1e-400", "inf"]
    ),
    st.sampled_from([" 1 ", "1_0", "x", "true", "0", "1", "1e5", "1.5", "9007199254740993", "3.5e38", "--1"]),
    st.sampled_from(["a b", "é", '"', "a,b", "a\nb", "'", "128", "-129", "255", "65504", "65520", "0x10"]),
    st.text(max_size=4),
)
DATATYPES = ["FP64", "FP32", "FP16", "INT64", "INT8", "UINT8", "UINT64", "BOOL", "BYTES"]
SPECS = st.lists(st.tuples(st.sampled_from(DATATYPES), st.booleans()), min_size=1, max_size=3)


def specs_of(kinds: Sequence[tuple[str, bool]]) -> list[TensorSpec]:
    return [tensor(f"c{at}", kind, nullable=nullable) for at, (kind, nullable) in enumerate(kinds)]


def written(rows: Sequence[Sequence[str]], quoting: int, end: str, delimiter: str = ",") -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, quoting=quoting, lineterminator=end, delimiter=delimiter).writerows(rows)
    return text.getvalue().encode("utf-8", "surrogatepass")


class OneByOne(CsvRows):
    """Reads every record by itself, as is done where one of them is bad."""

    def _at_once(self, data: bytes, found: list[bytes]) -> None:
        return None


def one_by_one(reader: CsvRows, chunk: bytes) -> Rows:
    return OneByOne(reader._layout, reader._delimiter)._thorough(chunk, 2)


def shown(rows: Rows) -> object:
    columns = {
        name: array.tolist() if array.dtype.kind == "O" else (array.dtype.str, array.tobytes())
        for name, array in rows.columns.items()
    }
    lines = list(rows.lines)
    texts = [rows.text(at) for at in range(len(lines))]
    return rows.seen, columns, [list(cells) for cells in rows.kept], lines, texts, rows.bad


@given(
    kinds=SPECS,
    data=st.data(),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    end=st.sampled_from(["\n", "\r\n"]),
    delimiter=st.sampled_from([",", ";", "\t"]),
)
def test_quick_and_thorough_agree(
    kinds: list[tuple[str, bool]], data: st.DataObject, quoting: int, end: str, delimiter: str
) -> None:
    specs = specs_of(kinds)
    table = data.draw(
        st.lists(st.lists(CELLS, min_size=len(specs), max_size=len(specs)), min_size=1, max_size=5)
    )
    reader = CsvRows(lay_out([spec.name for spec in specs], specs, ["c0"]), delimiter)
    chunk = written(table, quoting, end, delimiter)
    quick, thorough = reader(chunk, 2), one_by_one(reader, chunk)
    assert shown(quick)[:4] == shown(thorough)[:4]  # type: ignore[index]
    assert quick.bad == thorough.bad


NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(1 << 60), 1 << 60).map(str),
    st.sampled_from(["0", "-0", "-0.0", "1e5", "9007199254740993", "127", "128", "1e400", "4e38", ""]),
)


@given(
    kinds=st.lists(st.tuples(st.sampled_from(DATATYPES[:7]), st.booleans()), min_size=1, max_size=3),
    data=st.data(),
)
@example(kinds=[("FP64", False)], data=None)
def test_all_numbers_at_once(kinds: list[tuple[str, bool]], data: st.DataObject | None) -> None:
    specs = specs_of(kinds)
    row = st.lists(NUMBERS, min_size=len(specs), max_size=len(specs))
    table = data.draw(st.lists(row, min_size=1, max_size=5)) if data else [["-0"], ["1"]]
    reader = CsvRows(lay_out([spec.name for spec in specs], specs, ["c0"]), ",")
    chunk = "".join(",".join(cells) + "\n" for cells in table).encode()
    assert shown(reader(chunk, 2)) == shown(one_by_one(reader, chunk))


@given(
    roles=st.lists(st.sampled_from(["read", "kept", "unread"]), min_size=1, max_size=6).filter(
        lambda roles: "read" in roles
    ),
    data=st.data(),
    delimiter=st.sampled_from(",;"),
)
def test_other_columns_are_cut_out(roles: list[str], data: st.DataObject, delimiter: str) -> None:
    names = [f"c{at}" for at in range(len(roles))]
    specs = [tensor(name, nullable=True) for name, role in zip(names, roles, strict=True) if role == "read"]
    texts = st.sampled_from(["", "a", "é", "a,b", "7", "-"])
    row = st.tuples(*[NUMBERS if role == "read" else texts for role in roles])
    table = data.draw(st.lists(row, min_size=1, max_size=5))
    keep = [name for name, role in zip(names, roles, strict=True) if role == "kept"]
    reader = CsvRows(lay_out(names, specs, keep), delimiter)
    chunk = "".join(delimiter.join(cells) + "\n" for cells in table).encode()
    assert shown(reader(chunk, 2)) == shown(one_by_one(reader, chunk))
    bad = chunk.replace("é".encode(), b"\xff")
    assert shown(reader(bad, 2)) == shown(one_by_one(reader, bad))


def test_a_whole_number_has_no_sign_of_nothing() -> None:
    (spec,) = specs_of([("INT64", True)])
    array, wrong = read_cells(spec, ["-0.0", "", "-3"])
    assert (array.tobytes(), wrong) == (np.array([0.0, np.nan, -3.0]).tobytes(), {})


@given(kinds=SPECS, data=st.data())
def test_good_rows_are_those_of_the_server(kinds: list[tuple[str, bool]], data: st.DataObject) -> None:
    specs = specs_of(kinds)
    row = st.lists(CELLS, min_size=len(specs), max_size=len(specs))
    table = data.draw(st.lists(row, min_size=1, max_size=4))
    reader = CsvRows(lay_out([spec.name for spec in specs], specs, []), ",")
    chunk = written(table, csv.QUOTE_ALL, "\n")
    found = reader(chunk, 2)
    try:
        text = written([[spec.name for spec in specs]], csv.QUOTE_ALL, "\n") + chunk
        wanted = read_csv(text.decode(), specs)
    except (BadInput, UnicodeDecodeError):
        assert found.bad
        return
    assert not found.bad
    for name, array in wanted.items():
        assert array.dtype == found.columns[name].dtype
        if array.dtype.kind == "O":
            assert array.tolist() == found.columns[name].tolist()
        else:
            assert array.tobytes() == found.columns[name].tobytes()


AGE = [tensor("age"), tensor("plan", "BYTES")]


def read(text: str | bytes, header: str = "age,plan", keep: Sequence[str] = ()) -> Rows:
    data = text.encode() if isinstance(text, str) else text
    return CsvRows(lay_out(header.split(","), AGE, keep), ",")(data, 2)


@pytest.mark.parametrize(
    ("text", "line", "field", "reason"),
    [
        ("1,a\n2\n3,c\n", 3, "", "it has 1 fields, the header 2"),
        ("1,a\n2,b,c\n3,c\n", 3, "", "it has 3 fields, the header 2"),
        ("1,a\nx,b\n3,c\n", 3, "age", "'x' is not a number"),
        ("1,a\n,b\n3,c\n", 3, "age", "'' is missing, and not nullable"),
        ("1,a\nNaN,b\n3,c\n", 3, "age", "'NaN' is missing, and not nullable"),
        ("1,a\n1e999,b\n3,c\n", 3, "age", "'1e999' is infinite"),
        ("1,a\n2,b\0\n3,c\n", 3, "", "it holds a NUL character"),
        (b"1,a\n2,\xff\n3,c\n", 3, "", "it is not UTF-8"),
        ('1,a\n2,"b"x\n3,c\n', 3, "", "it is not well formed: ',' expected after '\"'"),
        ('1,a\n2,"b\n3,c\n', 3, "", "it is not well formed: unexpected end of data"),
        ("1,a\n2,b\rx\n3,c\n", 3, "", None),
    ],
)
def test_one_bad_row_is_told_and_the_others_are_read(
    text: str | bytes, line: int, field: str, reason: str | None
) -> None:
    rows = read(text)
    assert [(bad.line, bad.field) for bad in rows.bad] == [(line, field)]
    assert reason is None or rows.bad[0].reason == reason
    assert rows.columns["age"].tolist() == [1.0, 3.0]
    assert (rows.seen, list(rows.lines)) == (3, [2, 4])


def test_lines_are_counted_through_quoted_newlines() -> None:
    rows = read('1,"a\nb"\n\n2,c\nx,"d\n\n"\n3,e')
    assert list(rows.lines) == [2, 5, 9]
    assert [(bad.line, bad.text) for bad in rows.bad] == [(6, 'x,"d\n\n"')]
    assert rows.columns["plan"].tolist() == ["a\nb", "c", "e"]


def test_a_blank_line_is_a_row_where_there_is_one_column() -> None:
    spec = [tensor("plan", "BYTES", nullable=True)]
    rows = CsvRows(lay_out(["plan"], spec, []), ",")(b"a\n\nb\n", 2)
    assert rows.columns["plan"].tolist() == ["a", None, "b"]


def test_kept_and_unread_columns_may_hold_anything() -> None:
    rows = read('1,"x, y",a,7\n2,007,b,\n', "age,id,plan,note", ["id"])
    assert [list(cells) for cells in rows.kept] == [["x, y", "007"]]
    assert not rows.bad


def test_a_matrix_takes_its_columns_by_name_or_in_order() -> None:
    matrix = [tensor("X", "FP32", 2)]
    for header in (["id", "a", "b"], ["X_0", "id", "X_1"]):
        layout = lay_out(header, matrix, ["id"])
        cells = {"id": "7", "a": "1", "b": "2", "X_0": "1", "X_1": "2"}
        rows = CsvRows(layout, ",")(",".join(cells[name] for name in header).encode() + b"\n", 2)
        assert rows.columns["X"].tolist() == [[1.0, 2.0]]
        assert rows.columns["X"].dtype == np.float32


def test_inputs_without_a_fixed_number_of_columns() -> None:
    with pytest.raises(BadInput, match="v has no fixed number of columns"):
        lay_out(["age", "v"], [tensor("age"), tensor("v", "FP32", -1)], [])
    layout = lay_out(["id", "a", "b"], [tensor("v", "FP32", -1)], ["id"])
    assert CsvRows(layout, ",")(b"7,1,2\n", 2).columns["v"].tolist() == [[1.0, 2.0]]


@pytest.mark.parametrize(
    ("header", "keep", "said"),
    [
        ("plan", (), "the input has no column age, which is read: it has plan"),
        ("age,plan", ("id",), "the input has no column id, which is kept: it has age, plan"),
        ("age,plan,age", (), "the input names age twice"),
    ],
)
def test_columns_that_do_not_fit(header: str, keep: Sequence[str], said: str) -> None:
    with pytest.raises(BadInput) as error:
        lay_out(header.split(","), AGE, keep)
    assert str(error.value) == said
