"""What a bundle tells of its examples: ranges and categories, and nothing that is one row's alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlship.bundle.rows import seen
from mlship.config import parse_project

TOML = '[project]\nname = "a"\n[model]\nsource = "m"\n'
REDUCED = '[reduction]\nstep = "a:b"\n'


def tensor(kind: str, data: list[Any], *shape: int, name: str = "t") -> dict[str, Any]:
    return {"name": name, "datatype": kind, "shape": [*shape] or [len(data)], "data": data}


def told(given: dict[str, Any], toml: str = TOML) -> Any:
    return seen.of_inputs(parse_project(toml, root=Path()), [given]).get("t")


@pytest.mark.parametrize(
    ("kind", "data", "said"),
    [
        ("FP64", [2.5, None, -1.0, 0.1], {"min": -1.0, "max": 2.5}),
        ("FP32", [0.30000001192092896, 1 / 3], {"min": 0.3, "max": 0.3333333}),
        ("FP64", [None, None], None),
        ("INT64", [3, 1, 3, 1, 3], {"values": [1, 3]}),
        ("INT64", [3, 1, 3, 2], {"min": 1, "max": 3}),  # 1 is one row's alone
        ("INT64", list(range(33)) * 2, {"min": 0, "max": 32}),  # too many
        ("INT64", list(range(32)) * 2, {"values": list(range(32))}),
        ("UINT64", [2**64 - 1, 0], {"min": 0, "max": 2**64 - 1}),
        ("BYTES", ["pro", "free", None, "free", "pro"], {"values": ["free", "pro"]}),
        ("BYTES", ["pro", "free", "free"], None),
        ("BYTES", [f"name {n}" for n in range(33)] * 2, None),
        ("BYTES", ["x" * 65] * 4, None),
        ("BOOL", [True, False, True, False], {"values": [False, True]}),
        ("BOOL", [True, False, True], None),
    ],
)
def test_one_column(kind: str, data: list[Any], said: Any) -> None:
    assert told(tensor(kind, data)) == said


def test_a_category_of_a_matrix_must_stand_in_two_rows() -> None:
    assert told(tensor("BYTES", ["a", "a", "b", "b"], 2, 2)) is None
    assert told(tensor("BYTES", ["a", "b", "b", "a"], 2, 2)) == {"values": ["a", "b"]}
    assert told(tensor("FP32", [1.0, 4.0, 2.0, 3.0], 2, 2)) == {"min": 1.0, "max": 4.0}


def test_it_can_be_left_out_by_column_and_altogether() -> None:
    pay, age = tensor("FP64", [1.0, 2.0], name="pay"), tensor("FP64", [3.0, 4.0], name="age")
    whole = parse_project(TOML + REDUCED, root=Path())
    column = parse_project(f"{TOML}{REDUCED}[schema.pay]\nseen = false\n", root=Path())
    nothing = parse_project(f"{TOML}{REDUCED}[golden]\nseen = false\n", root=Path())
    assert list(seen.of_inputs(whole, [pay, age])) == ["pay", "age"]
    assert list(seen.of_inputs(column, [pay, age])) == ["age"]
    assert seen.of_inputs(nothing, [pay, age]) == {}
    # What a reduction makes may hold the column again.
    assert [list(seen.of_reduced(each, [pay])) for each in (whole, column, nothing)] == [["pay"], [], []]
    assert [list(seen.of_outputs(each, [age])) for each in (whole, column, nothing)] == [["age"], ["age"], []]
    assert seen.hidden(column) != seen.hidden(whole) != seen.hidden(nothing)


def test_without_a_reduction_what_the_model_reads_is_the_input() -> None:
    assert seen.of_reduced(parse_project(TOML, root=Path()), [tensor("FP64", [1.0, 2.0])]) == {}
