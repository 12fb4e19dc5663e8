"""Examples from .npy files and from the schema alone, and how rows are chosen among them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlship.bundle.rows.examples import MAX_ROWS, read_examples, spread, take
from mlship.bundle.rows.npy import read_npy
from mlship.config import parse_project
from mlship.errors import BuildError, ConfigError

TOML = '[project]\nname = "p"\n[model]\nsource = "m.joblib"\n'


@pytest.mark.parametrize("kind", ["<f4", "<f8", ">f8", "|b1", "|i1", "<i2", ">i4", "<i8", "|u1", "<u8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_is_read_as_numpy_reads_it(tmp_path: Path, kind: str, order: str) -> None:
    array = np.arange(24).reshape(4, 3, 2).astype(kind).copy(order=order)
    np.save(tmp_path / "a.npy", array)
    found = read_npy(tmp_path / "a.npy")
    assert found.shape == (4, 3, 2)
    assert found.data == array.ravel().tolist()
    assert type(found.data[0]) is type(array.ravel().tolist()[0])


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.array([["a"]]), "holds values of type <U1"),
        (np.array([[{}]], object), "holds values of type |O"),
        (np.zeros(3), r"has the shape [3]"),
        (np.zeros((0, 3)), r"has the shape [0, 3]"),
        (np.zeros(2, [("a", "f4"), ("b", "f4")]), "holds records"),
    ],
)
def test_other_arrays_are_refused(tmp_path: Path, array, said: str) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(BuildError) as caught:
        read_npy(tmp_path / "a.npy")
    assert said in str(caught.value)


def test_damaged_npy_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((4, 4)))
    whole = path.read_bytes()
    for data, said in (
        (b"hello", "not a .npy"),
        (whole[:-1], "cut short"),
        (whole[:40], "broken .npy header"),
    ):
        path.write_bytes(data)
        with pytest.raises(BuildError, match=said):
            read_npy(path)


def test_an_npy_is_one_tensor_x(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.array([[1.0, np.nan], [3.0, 4.0]], "f4"))
    examples = read_examples(parse_project(TOML + '[golden]\nfrom = "rows.npy"\n', root=tmp_path))
    assert examples.tensors == (
        {"name": "X", "datatype": "FP32", "shape": [2, 2], "data": [1.0, None, 3.0, 4.0]},
    )
    assert (examples.schema[0].shape, examples.schema[0].nullable) == ((-1, 2), True)


@pytest.mark.parametrize(
    ("more", "error", "said"),
    [
        ('columns = ["a"]\n', ConfigError, "one tensor, X"),
        ("[schema.age]\n", ConfigError, "Its tensor is X"),
        ('[schema.X]\ntype = "FP32"\n', ConfigError, "the file holds FP64"),
        ("[schema.X]\nnullable = false\n", BuildError, "NaN in row 1"),
    ],
)
def test_an_npy_against_its_description(tmp_path: Path, more: str, error: type[Exception], said: str) -> None:
    np.save(tmp_path / "rows.npy", np.array([[1.0], [np.nan]]))
    with pytest.raises(error, match=said):
        read_examples(parse_project(TOML + '[golden]\nfrom = "rows.npy"\n' + more, root=tmp_path))


def test_infinities_in_an_npy_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.array([[1.0], [2.0], [-np.inf]]))
    with pytest.raises(BuildError, match="infinite value in row 2"):
        read_examples(parse_project(TOML + '[golden]\nfrom = "rows.npy"\n', root=tmp_path))


SYNTHETIC = """
[golden]
from = "synthetic"
[schema.age]
type = "INT32"
min = 18
max = 80
[schema.load]
type = "FP64"
nullable = true
min = -1
max = 1
[schema.plan]
type = "BYTES"
values = ["free", "pro"]
[schema.vip]
type = "BOOL"
"""


def test_synthetic_rows_keep_to_the_schema_and_to_the_seed(tmp_path: Path) -> None:
    examples = read_examples(parse_project(TOML + SYNTHETIC, root=tmp_path))
    age, load, plan, vip = (tensor["data"] for tensor in examples.tensors)
    assert examples.rows == 256
    assert all(type(value) is int and 18 <= value <= 80 for value in age)
    assert len(set(age)) > 30
    assert all(value is None or -1 <= value <= 1 for value in load)
    assert 0 < load.count(None) < 40
    assert set(plan) == {"free", "pro"}
    assert set(vip) == {True, False}
    again = read_examples(parse_project(TOML + SYNTHETIC, root=tmp_path))
    assert again.digest == examples.digest
    other = read_examples(
        parse_project(TOML + SYNTHETIC.replace("[schema.age]", "seed = 1\n[schema.age]"), root=tmp_path)
    )
    assert other.digest != examples.digest


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ("", "golden.from is synthetic, but no column is described"),
        ("[schema.a]\nmin = 1\n", "schema.a has no type"),
        ('[schema.a]\ntype = "FP64"\nmin = 1\n', "schema.a has no min and max"),
        ('[schema.a]\ntype = "BYTES"\n', "schema.a has no values"),
        ('[schema.a]\ntype = "INT64"\nvalues = [1, 2.5]\n', "schema.a.values has 2.5, which is not INT64"),
    ],
)
def test_a_schema_that_says_too_little_is_a_config_error_with_its_line(
    tmp_path: Path, schema: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=r"^mlship.toml:\d+: ") as caught:
        read_examples(parse_project(TOML + '[golden]\nfrom = "synthetic"\n' + schema, root=tmp_path))
    assert said in str(caught.value)


def test_columns_choose_and_order_the_inputs(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("y,a,b\n0,1,2\n1,3,4\n")
    project = parse_project(TOML + '[golden]\nfrom = "rows.csv"\ncolumns = ["b", "a"]\n', root=tmp_path)
    assert [tensor["name"] for tensor in read_examples(project).tensors] == ["b", "a"]


def test_a_long_file_is_thinned_evenly(tmp_path: Path) -> None:
    rows = MAX_ROWS * 3
    (tmp_path / "rows.csv").write_text("a\n" + "".join(f"{row}\n" for row in range(rows)))
    examples = read_examples(parse_project(TOML + '[golden]\nfrom = "rows.csv"\n', root=tmp_path))
    assert examples.rows == MAX_ROWS
    assert all(3 * at <= value < 3 * at + 3 for at, value in enumerate(examples.tensors[0]["data"]))


@given(st.integers(1, 500), st.integers(1, 256), st.integers(0, 5))
def test_spread_takes_one_row_of_each_stretch(total: int, count: int, seed: int) -> None:
    rows = spread(total, count, seed)
    assert rows == sorted(set(rows))
    assert len(rows) == min(total, count)
    assert all(0 <= row < total for row in rows)
    assert max((b - a for a, b in pairwise(rows)), default=0) <= 2 * (total // count + 1)


def test_take_keeps_whole_rows() -> None:
    tensor = {"name": "X", "datatype": "INT64", "shape": [3, 2], "data": [0, 1, 10, 11, 20, 21]}
    assert take([tensor], [2, 0]) == [{**tensor, "shape": [2, 2], "data": [20, 21, 0, 1]}]
