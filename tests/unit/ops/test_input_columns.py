"""Which columns of a file of rows are sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlship.config import parse_project
from mlship.ops.context import Context
from mlship.ops.input_columns import only_inputs

TOML = '[project]\nname = "churn"\n[model]\nsource = "m"\n'


@pytest.fixture
def ctx() -> Context:
    return Context(project=parse_project(TOML + '[golden]\ncolumns = ["b", "a"]\n', root=Path("/project")))


def test_what_is_no_input_is_left_out_and_said(ctx: Context) -> None:
    sent = only_inputs(ctx, b'a,label,b\r\n1,yes,"x, y"\r\n\r\n2,no,\r\n')
    assert sent == b'b,a\n"x, y",1\n,2\n'
    assert ctx.warnings == ["not sent, for [golden] columns does not list it: label"]


@pytest.mark.parametrize(
    "rows",
    [b"a,b\n1,2\n", b"a,label\n1,2\n", b"a,b,label\n1,2\n", b'a,b,label\n"1,2,3\n', b"\xff,\xfe\n", b""],
    ids=["just the inputs", "an input is missing", "a short row", "an open quote", "not text", "nothing"],
)
def test_other_rows_are_left_as_they_are(ctx: Context, rows: bytes) -> None:
    assert only_inputs(ctx, rows) == rows
    assert ctx.warnings == []


def test_without_a_list_of_columns_all_is_sent() -> None:
    rows = b"a,label\n1,2\n"
    assert only_inputs(Context(), rows) == rows
    assert only_inputs(Context(project=parse_project(TOML, root=Path("/project"))), rows) == rows
