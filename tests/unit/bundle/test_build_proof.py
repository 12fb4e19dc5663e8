"""What counts as equal between original and bundle, and which rows may become golden."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlship.bundle.models.proof import check_parity, check_reduced, hanging_rows
from mlship.bundle.rows import golden
from mlship.bundle.rows.examples import Examples
from mlship.config import parse_project
from mlship.errors import BuildError
from mlship_runtime.bundle.spec import TensorSpec

LIMIT = {"abs": 1e-4, "rel": 1e-4}


def label(*values, name="label"):
    kind = "BYTES" if isinstance(values[0], str) else "INT64"
    return {"name": name, "datatype": kind, "shape": [len(values)], "data": list(values)}


def floats(*rows, name="probabilities", kind="FP32"):
    width = [len(rows[0])] if isinstance(rows[0], list) else []
    data = [value for row in rows for value in (row if width else [row])]
    return {"name": name, "datatype": kind, "shape": [len(rows), *width], "data": data}


def test_figures_of_the_proof() -> None:
    original = [label(0, 1), floats([0.9, 0.1], [0.25, 0.75], kind="FP64")]
    answered = [label(0, 1), floats([0.90001, 0.1], [0.25, 0.75])]
    found = check_parity(original, answered, LIMIT)
    assert (found.rows, found.max_abs, found.max_rel) == (2, 1e-05, 1.11e-05)


def test_a_column_and_a_flat_regression_are_the_same() -> None:
    found = check_parity(
        [floats([1.0], [2.0], name="prediction", kind="FP64")], [floats(1.0, 2.0, name="prediction")], LIMIT
    )
    assert found.rows == 2


@pytest.mark.parametrize(
    ("original", "answered", "said"),
    [
        ([label(0, 1, 1)], [label(0, 1, 0)], "decides otherwise than the original in 1 of 3 rows (2)"),
        ([label("a", "b")], [label("b", "b")], "in 1 of 2 rows (0): row 0, label: expected 'a', got 'b'"),
        (
            [floats([0.5], [0.5], name="prediction")],
            [floats([0.5], [0.6], name="prediction")],
            "(1): the largest error is 0.1 (relative 0.2), allowed are abs 0.0001 and rel 0.0001",
        ),
        ([floats([0.5, 0.5])], [floats([0.5, 0.3, 0.2])], "another form"),
        ([label(0, 1)], [label("0", "1")], "another form"),
    ],
)
def test_a_conversion_that_is_not_equal_is_refused(original, answered, said: str) -> None:
    with pytest.raises(BuildError) as caught:
        check_parity(original, answered, LIMIT)
    assert said in str(caught.value)


def test_reduced_arrays_must_agree_across_environments() -> None:
    check_reduced([floats([1.0], name="X")], [floats([1.0 + 1e-7], name="X")])
    with pytest.raises(BuildError, match=r"in 1 of 2 rows \(1\)"):
        check_reduced([floats([1.0], [2.0], name="X")], [floats([1.0], [2.001], name="X")])


def test_rows_on_the_fence_are_not_golden() -> None:
    two = floats([0.5, 0.5], [0.50001, 0.49999], [0.6, 0.4])
    assert hanging_rows([label(0, 0, 0), two], None, {"abs": 1e-5, "rel": 1e-5}) == {0, 1}
    one = floats([0.500001], [0.51])
    assert hanging_rows([label(1, 1), one], None, {"abs": 1e-5, "rel": 1e-5}) == {0}
    assert hanging_rows([label(1, 1, 0)], [1e-9, 0.3, 2.0], {"abs": 1e-5, "rel": 1e-5}) == {0}
    assert hanging_rows([floats([0.5], name="prediction")], None, {"abs": 1, "rel": 1}) == set()


TOML = '[project]\nname = "p"\n[model]\nsource = "m"\n[golden]\nfrom = "r.csv"\nrows = 2\n'


def examples(rows: int) -> Examples:
    tensor = {"name": "a", "datatype": "INT64", "shape": [rows], "data": list(range(rows))}
    return Examples((TensorSpec("a", "INT64", (-1,), False),), (tensor,), rows)


def test_golden_rows_are_firm_and_recorded_with_their_answers(tmp_path: Path) -> None:
    project = parse_project(TOML, root=tmp_path)
    outputs = [label(1, 1, 0, 1), floats([0.5, 0.5], [0.1, 0.9], [0.5, 0.5], [0.2, 0.8])]
    rows = golden.choose(project, examples(4), outputs, None)
    assert rows == [1, 3]
    locked = golden.recorded({"examples": "d"}, rows, outputs, {"outputs": {"label": {"values": [0, 1]}}})
    assert locked.seen == {"outputs": {"label": {"values": [0, 1]}}}
    document = golden.golden_document(examples(4), locked)
    assert document["inputs"][0]["data"] == [1, 3]
    assert document["outputs"][1]["data"] == [0.1, 0.9, 0.2, 0.8]
    assert golden.tolerances(project, outputs) == {"probabilities": {"abs": 1e-5, "rel": 1e-4}}


def test_nothing_firm_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="every decision hangs"):
        golden.choose(parse_project(TOML, root=tmp_path), examples(1), [label(1), floats([0.5, 0.5])], None)


def test_nan_among_the_answers_names_the_row() -> None:
    with pytest.raises(BuildError, match=r"prediction = NaN .* for row 7"):
        golden.recorded({}, [5, 7], [floats(*[[0.0]] * 7, [None], name="prediction")], {})


def test_another_processor_is_held_against_the_lock(tmp_path: Path) -> None:
    project = parse_project(TOML, root=tmp_path)
    outputs = [floats([0.5], [0.7], name="prediction")]
    locked = golden.recorded({}, [0, 1], outputs, {})
    golden.check_locked(project, locked, [floats([0.500001], [0.7], name="prediction")])
    with pytest.raises(BuildError, match=r"answers 1 golden values otherwise than mlship.lock") as caught:
        golden.check_locked(project, locked, [floats([0.6], [0.7], name="prediction")])
    assert caught.value.exit_code == 4
