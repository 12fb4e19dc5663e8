"""Columns of a CSV file: datatypes, missing values, and complaints that name line and column."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlship.config.sections import ColumnSection
from mlship.errors import BuildError
from mlship.schema import infer, read_column, read_table


@pytest.fixture
def table(tmp_path: Path):
    def write(text: str):
        path = tmp_path / "rows.csv"
        path.write_text(text, encoding="utf-8", newline="")
        return read_table(path)

    return write


def types(found):
    return {spec.name: (spec.datatype, spec.nullable) for spec in found}


def values(table, **stated):
    return {spec.name: read_column(table, spec) for spec in infer(table, stated)}


def test_datatypes_come_from_the_cells(table) -> None:
    found = table("i,f,e,b,t,big\n1,1.5,1e3,true,x,99999999999999999999\n-2,2,.5,FALSE,7a,1\n")
    assert types(infer(found)) == {
        "i": ("INT64", False),
        "f": ("FP64", False),
        "e": ("FP64", False),
        "b": ("BOOL", False),
        "t": ("BYTES", False),
        "big": ("FP64", False),
    }
    assert values(found)["b"] == [True, False]


def test_whole_numbers_with_a_gap_become_floats(table) -> None:
    found = table("i,j,t\n1,,a\n,NaN,\n3,5,NA\n")
    assert types(infer(found)) == {"i": ("FP64", True), "j": ("FP64", True), "t": ("BYTES", True)}
    assert values(found) == {"i": [1.0, None, 3.0], "j": [None, None, 5.0], "t": ["a", None, "NA"]}


def test_the_projects_word_wins(table) -> None:
    found = table("i,z\n1,007\n2,010\n")
    stated = {"i": ColumnSection(type="FP32", nullable=True), "z": ColumnSection(type="BYTES")}
    assert types(infer(found, stated)) == {"i": ("FP32", True), "z": ("BYTES", False)}
    assert values(found, **stated) == {"i": [1.0, 2.0], "z": ["007", "010"]}


def test_byte_order_mark_quotes_and_blank_lines(table) -> None:
    found = table('\ufeffname,n\r\n"a, ""b""",1\r\n\r\nc,2\r\n')
    assert found.header == ("name", "n")
    assert values(found) == {"name": ['a, "b"', "c"], "n": [1, 2]}
    assert list(found.lines) == [2, 4]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "rows.csv is empty"),
        ("a,b\n", "no rows"),
        ("a,b\n1\n", "rows.csv:2 has 1 cells"),
        ("a,a\n1,2\n", "two columns named 'a'"),
        (",a\n0,2\n", "column 1 has no name"),
        ("1.5,2\n3,4\n", "has no header"),
        ('a,b\n"x,1\n', "cannot be read as CSV"),
    ],
)
def test_a_file_that_is_no_table_is_refused(table, text: str, said: str) -> None:
    with pytest.raises(BuildError, match=said) as caught:
        table(text)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize(
    ("text", "stated", "said"),
    [
        ("a\nx\n", ColumnSection(type="INT64"), "rows.csv:2 column 'a': 'x' is not a whole number"),
        ("a\n1\n300\n", ColumnSection(type="INT8"), "rows.csv:3 column 'a': '300'"),
        ("a\n1.5\n", ColumnSection(type="INT64"), "is not a whole number of type INT64"),
        ("a\n1e999\n", None, "is not a finite number"),
        ("a,b\n1,1\n,1\n", ColumnSection(nullable=False), "rows.csv:3 column 'a': '' is missing"),
        ("a\nmaybe\n", ColumnSection(type="BOOL"), "is neither true nor false"),
    ],
)
def test_a_cell_that_does_not_fit_is_named(table, text: str, stated, said: str) -> None:
    with pytest.raises(BuildError) as caught:
        values(table(text), **({"a": stated} if stated else {}))
    assert said in str(caught.value)


def test_an_empty_column_must_be_described(table) -> None:
    found = table("a,b\n1,\n2,\n")
    with pytest.raises(BuildError, match=r"no value in column 'b'.*\[schema.b\]"):
        infer(found)
    assert types(infer(found, {"b": ColumnSection(type="FP32")}))["b"] == ("FP32", True)


def test_unknown_columns_are_named_with_the_known_ones(table) -> None:
    found = table("a,b\n1,2\n")
    with pytest.raises(BuildError, match=r"schema\.c.*it has a, b"):
        infer(found, {"c": ColumnSection()})
    with pytest.raises(BuildError, match=r"no column 'c'.*it has a, b"):
        found.only(["c"])
    assert found.only(["b"]).rows == [["2"]]
