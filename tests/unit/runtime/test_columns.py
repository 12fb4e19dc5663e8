"""Columns from CSV, .npy and arrays, by the schema."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlship_runtime.bundle.spec import TensorSpec
from mlship_runtime.errors import BadInput
from mlship_runtime.model.columns import check_columns, read_csv, read_examples


def spec_of(name="age", datatype="FP64", shape=(-1,), nullable=False):
    return TensorSpec(name, datatype, shape, nullable)


def same(arrays, expected):
    assert arrays.keys() == expected.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, np.asarray(expected[name], array.dtype), strict=True)


def test_each_column_has_the_type_of_its_schema():
    specs = [
        spec_of("age", "INT64"),
        spec_of("height", "FP64"),
        spec_of("smokes", "BOOL"),
        spec_of("city", "BYTES"),
        spec_of("children", "INT64", nullable=True),
        spec_of("income", "FP32", nullable=True),
        spec_of("note", "BYTES", nullable=True),
    ]
    text = (
        "city,age,height,smokes,children,income,note\n"
        '"Bern, CH",40,1.75,true,2,,hello\n'
        "Oslo,39.0,1e0,0,NaN,12.5,\n"
    )
    columns = read_csv(text, specs)
    same(
        columns,
        {
            "age": [40, 39],
            "height": [1.75, 1.0],
            "smokes": [True, False],
            "city": ["Bern, CH", "Oslo"],
            "children": [2.0, np.nan],
            "income": [np.nan, 12.5],
            "note": ["hello", None],
        },
    )
    assert list(columns) == [spec.name for spec in specs]
    assert [str(array.dtype) for array in columns.values()] == [
        "int64", "float64", "bool", "object", "float64", "float32", "object",
    ]  # fmt: skip


def test_a_file_with_a_byte_order_mark_and_windows_line_ends(tmp_path):
    (tmp_path / "rows.csv").write_bytes("\ufeffage\r\n1\r\n\r\n2\r\n".encode())
    same(read_examples(tmp_path / "rows.csv", [spec_of()]), {"age": [1.0, 2.0]})


BAD_CSV = [
    ("", "the CSV has no rows"),
    ("age\n", "the CSV has no rows"),
    ("old\n1\n", "old is not an input of this model: it reads age"),
    ("age,age\n1,2\n", "the CSV names age twice"),
    ("age\n1,2\n", "line 2 of the CSV has 2 fields, its first line 1"),
    ("age\n1\n\nx\n", "line 4, age: 'x' is not a number"),
    ("age\n1\n \n", "line 3, age: ' ' is missing, and not nullable"),
    ("age\nnan\n", "line 2, age: 'nan' is missing, and not nullable"),
    ("age\ninf\n", "line 2, age: 'inf' is infinite"),
    ("age\n-1e999\n", "line 2, age: '-1e999' is infinite"),
    ("age\n1_000\n", "line 2, age: '1_000' is not a number"),
    ("age\n0x10\n", "line 2, age: '0x10' is not a number"),
    ('age\n"1\n', "line 2 of the CSV is not well formed"),
    ("age\n1\x00\n", "line 2 of the CSV is not well formed: it holds a NUL character"),
]


@pytest.mark.parametrize(("text", "says"), BAD_CSV)
def test_a_bad_csv_names_line_and_column(text, says):
    with pytest.raises(BadInput) as caught:
        read_csv(text, [spec_of()])
    assert str(caught.value).startswith(says)


@pytest.mark.parametrize(
    ("spec", "field", "says"),
    [
        (spec_of(datatype="INT64"), "1.5", "line 2, age: '1.5' is not a whole number"),
        (spec_of(datatype="INT64", nullable=True), "x", "line 2, age: 'x' is not a whole number"),
        (spec_of(datatype="INT8"), "128", "age, row 0 is 128, not a whole number (INT8)"),
        (spec_of(datatype="FP32"), "1e39", "age, row 0 is 1e+39, too large for FP32"),
        (spec_of(datatype="BOOL"), "yes", "line 2, age: 'yes' is not true or false"),
        (spec_of(shape=(-1, 2)), "1", "the CSV has 1 columns, age 2"),
    ],
)
def test_a_bad_field_names_its_column(spec, field, says):
    with pytest.raises(BadInput) as caught:
        read_csv(f"age\n{field}\n", [spec])
    assert str(caught.value).startswith(says)


def test_a_missing_column():
    with pytest.raises(BadInput, match="the CSV has no column b"):
        read_csv("a\n1\n", [spec_of("a"), spec_of("b")])


def test_a_matrix_takes_columns_in_their_order():
    spec = spec_of("X", "FP32", (-1, 2))
    same(read_csv("p1,p0\n1,2\n3,4\n", [spec]), {"X": [[1, 2], [3, 4]]})
    same(read_csv("0,1\n5,6\n", [spec]), {"X": [[5, 6]]})
    with pytest.raises(BadInput, match="it must name the columns"):
        read_csv("1.5,2\n3,4\n", [spec])
    with pytest.raises(BadInput, match="line 3, p0: 'x' is not a number"):
        read_csv("p1,p0\n1,2\n3,x\n", [spec])


@given(
    st.lists(
        st.tuples(
            st.floats(allow_nan=False, allow_infinity=False),
            st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1),
        ),
        min_size=1,
    )
)
def test_csv_as_python_writes_it_comes_back(rows):
    specs = [spec_of("number"), spec_of("text", "BYTES")]
    file = io.StringIO(newline="")
    csv.writer(file).writerows([("number", "text"), *rows])
    columns = read_csv(file.getvalue(), specs)
    assert list(zip(columns["number"].tolist(), columns["text"].tolist(), strict=True)) == rows


def test_npy(tmp_path):
    spec = spec_of("X", "FP64", (-1, 2))
    np.save(tmp_path / "x.npy", np.array([[1, 2], [3, 4]], np.int32))
    same(read_examples(tmp_path / "x.npy", [spec]), {"X": [[1.0, 2.0], [3.0, 4.0]]})


@pytest.mark.parametrize("kind", ["pickle", "object", "nothing", "archive", "damaged", "text"])
def test_a_file_that_is_no_plain_array(tmp_path, kind):
    path = tmp_path / "x.npy"
    if kind == "pickle":
        path.write_bytes(b"\x80\x04K\x01.")
    elif kind == "object":
        np.save(path, np.array([{}], object), allow_pickle=True)
    elif kind == "archive":
        np.savez(tmp_path / "x.npz", a=[1])
        (tmp_path / "x.npz").rename(path)
    elif kind == "damaged":
        path.write_bytes(b"\x93NUMPY\x01\x00")
    elif kind == "text":
        path = tmp_path / "x.txt"
    with pytest.raises(BadInput, match=r"x\.(npy|txt) (cannot be read|is neither|is an archive)"):
        read_examples(path, [spec_of("X", "FP64", (-1, 1))])


WRONG = [
    (spec_of(), np.array([np.inf]), "age is infinite in row 0"),
    (spec_of(), np.array([1, np.nan]), "age is missing in row 1"),
    (spec_of(), np.array(["1"]), "age is FP64, not <U1"),
    (spec_of(), np.array([[1.0, 2.0]]), "age: shape [1, 2] does not fit [-1]"),
    (spec_of(), np.array(1.0), "age: shape [] does not fit [-1]"),
    (spec_of(), [1.0], "age is not an array"),
    (spec_of(), np.array([2**53 + 1]), "age holds a number that has no exact FP64"),
    (spec_of(datatype="FP32"), np.array([1e300]), "age holds a number too large for FP32"),
    (spec_of(datatype="INT8"), np.array([1000]), "age holds 1000, beyond INT8"),
    (spec_of(datatype="INT64"), np.array([1.0]), "age is INT64, not float64"),
    (spec_of(datatype="INT64", nullable=True), np.array([1.5, np.nan]), "age is not a whole number in row 0"),
    (spec_of(datatype="BOOL", nullable=True), np.array([0.0, 2.0]), "age is not true or false in row 1"),
    (spec_of(datatype="BOOL"), np.array([0, 1]), "age is BOOL, not int64"),
    (spec_of(datatype="BYTES"), np.array(["a", None], object), "age, row 1 is null"),
    (spec_of(datatype="BYTES"), np.array(["a", 1], object), "age, row 1 is 1, not a text"),
]


@pytest.mark.parametrize(("spec", "array", "says"), WRONG, ids=[case[-1] for case in WRONG])
def test_a_wrong_column_is_named(spec, array, says):
    with pytest.raises(BadInput) as caught:
        check_columns({"age": array}, [spec])
    assert str(caught.value).startswith(says)
    assert caught.value.field == "age"


def test_columns_are_cast_and_put_in_the_order_of_the_schema():
    specs = [spec_of("a", "FP32"), spec_of("b", "INT64", nullable=True), spec_of("c", "BYTES", nullable=True)]
    given_columns = {"c": np.array(["x", None], object), "b": np.array([1, 2]), "a": np.array([0.5, 1.0])}
    columns = check_columns(given_columns, specs)
    assert list(columns) == ["a", "b", "c"]
    assert [str(array.dtype) for array in columns.values()] == ["float32", "float64", "object"]
