"""A reduction that is an ONNX graph: what it says of the examples, and whether it is fused, with proof."""

from __future__ import annotations

from pathlib import Path

import pytest
from onnx import TensorProto, helper

from mlship.bundle.models.proof import check_fused
from mlship.bundle.models.reducing import (
    Reduced,
    Reducing,
    as_model,
    check_alone,
    check_rows,
    why_apart,
    with_graph_inputs,
)
from mlship.config import Project, parse_project
from mlship.errors import BuildError
from mlship_runtime.bundle.spec import TensorSpec

TOML = '[project]\nname = "a"\n[model]\nsource = "m"\n[golden]\nfrom = "rows.csv"\n'
NUMBER, TEXT = TensorProto.FLOAT, TensorProto.STRING


def graph(inputs: dict[str, int], *, opset: int = 17) -> bytes:
    """The first input, a number, as `X`."""
    first = next(iter(inputs))
    made = helper.make_graph(
        [helper.make_node("Neg", [first], ["X"])],
        "g",
        [helper.make_tensor_value_info(name, kind, [None]) for name, kind in inputs.items()],
        [helper.make_tensor_value_info("X", NUMBER, [None])],
    )
    opsets = [helper.make_opsetid("", opset)]
    data: bytes = helper.make_model(made, opset_imports=opsets, ir_version=8).SerializeToString()
    return data


def project(
    root: Path, inputs: dict[str, int], more: str = "", *, rows: str = "id,plan,age\n7,01,3\n"
) -> Project:
    (root / "reduce.onnx").write_bytes(graph(inputs))
    (root / "rows.csv").write_text(rows)
    return with_graph_inputs(parse_project(f'{TOML}{more}\n[reduction]\ngraph = "reduce.onnx"\n', root=root))


def stated(found: Project) -> dict[str, str | None]:
    return {name: column.type for name, column in found.schema.items()}


def test_the_inputs_say_columns_order_and_types(tmp_path: Path) -> None:
    found = project(tmp_path, {"age": NUMBER, "plan": TEXT})
    assert found.golden.columns == ("age", "plan")
    assert stated(found) == {"age": "FP32", "plan": "BYTES"}


def test_what_mlship_toml_says_wins(tmp_path: Path) -> None:
    more = 'columns = ["plan", "age"]\n[schema.age]\ntype = "INT64"\nnullable = true\n'
    found = project(tmp_path, {"age": NUMBER, "plan": TEXT}, more)
    assert found.golden.columns == ("plan", "age")
    assert stated(found) == {"plan": "BYTES", "age": "INT64"}
    assert found.schema["age"].nullable


def test_other_names_than_those_of_the_columns_say_nothing(tmp_path: Path) -> None:
    found = project(tmp_path, {"matrix": NUMBER})
    assert (found.golden.columns, stated(found)) == (None, {})


def test_what_is_no_graph_says_nothing_here(tmp_path: Path) -> None:
    (tmp_path / "reduce.onnx").write_bytes(b"no graph")
    given = parse_project(f'{TOML}[reduction]\ngraph = "reduce.onnx"\n', root=tmp_path)
    assert with_graph_inputs(given) is given


def test_a_graph_is_taken_as_a_model_is(tmp_path: Path) -> None:
    found = as_model(project(tmp_path, {"age": NUMBER}))
    assert found is not None
    assert (found.model.source, found.reduction) == ("reduce.onnx", None)
    assert as_model(parse_project(TOML, root=tmp_path)) is None


def test_it_stays_apart_where_it_must_or_shall(tmp_path: Path) -> None:
    reducing = Reducing(graph({"age": NUMBER}), {"age": ["age"]}, 17, {})
    reduced = (TensorSpec("X", "FP32", (-1,), False),)
    own = project(tmp_path, {"age": NUMBER})
    one, other = graph({"X": NUMBER}), graph({"X": NUMBER}, opset=18)
    assert why_apart(own, reducing, one, {}, reduced) == ""
    assert why_apart(own, reducing, other, {}, reduced) == "the reduction has opset 17, the model 18"
    text = f'{TOML}[reduction]\ngraph = "reduce.onnx"\nfuse = false\n'
    asked = parse_project(text, root=tmp_path)
    assert why_apart(asked, reducing, one, {}, reduced) == "mlship.toml says fuse = false"


def test_the_schema_of_what_it_gave() -> None:
    tensors = [
        {"name": "X", "datatype": "FP32", "shape": [2, 3], "data": [0.0, 1.0, 2.0, 3.0, None, 5.0]},
        {"name": "t", "datatype": "BYTES", "shape": [2], "data": ["a", "b"]},
    ]
    assert Reduced(Reducing(b"", {}, 17, {}), tensors).schema == (
        TensorSpec("X", "FP32", (-1, 3), True), TensorSpec("t", "BYTES", (-1,), False),
    )  # fmt: skip
    check_rows(tensors, 2)
    with pytest.raises(BuildError, match=r"gives 'X' of shape \[2, 3\] for 3 rows"):
        check_rows(tensors, 3)


def test_a_row_must_give_the_same_alone() -> None:
    whole = [{"name": "X", "datatype": "FP32", "shape": [2, 2], "data": [0.0, 1.0, 0.5, 3.0]}]
    check_alone(whole, [{**whole[0], "shape": [1, 2], "data": [0.500001, 3.0]}], [1])
    with pytest.raises(BuildError, match="for row 1 alone than among all rows: X uses the other rows"):
        check_alone(whole, [{**whole[0], "shape": [1, 2], "data": [1.0, 3.0]}], [1])


def answers(*chances: float, label: int = 1) -> list[dict]:
    return [
        {"name": "label", "datatype": "INT64", "shape": [1], "data": [label]},
        {"name": "chances", "datatype": "FP32", "shape": [1, len(chances)], "data": list(chances)},
    ]


def test_both_ways_must_answer_alike() -> None:
    limits = {"chances": {"abs": 1e-5, "rel": 0.0}}
    assert check_fused(answers(0.25, 0.75), answers(0.250005, 0.75), limits) == pytest.approx(5e-6)
    for other in (answers(0.2501, 0.75), answers(0.25, 0.75, label=0)):
        with pytest.raises(BuildError, match=r"otherwise in one session .* in 1 of 1 rows \(0\)") as caught:
            check_fused(answers(0.25, 0.75), other, limits)
        assert caught.value.fix == "Keep them apart: [reduction] fuse = false"
