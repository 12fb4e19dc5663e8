"""ONNX graphs in one form, whatever the converter left in them; and models that are ONNX already."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mlship.bundle.children import graph, taken
from mlship.bundle.children.failure import Failure
from mlship.bundle.children.features import Features


def model(*, noise: str = "", opsets=(("", 18),), outputs=("y",)) -> onnx.ModelProto:
    weights = numpy_helper.from_array(np.ones((2, 2), "f4"), "w")
    branch = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["inner"], doc_string=noise)],
        "branch" + noise,
        [],
        [helper.make_tensor_value_info("inner", TensorProto.FLOAT, [None, 2])],
    )
    nodes = [
        helper.make_node(
            "Constant", [], ["yes"], value=helper.make_tensor("v", TensorProto.BOOL, [], [True])
        ),
        helper.make_node("If", ["yes"], ["picked"], then_branch=branch, else_branch=branch),
        helper.make_node("MatMul", ["picked", "w"], [outputs[0]], doc_string=noise),
    ]
    whole = helper.make_graph(
        nodes,
        "graph" + noise,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info(outputs[0], TensorProto.FLOAT, [None, 2])],
        [weights],
        doc_string=noise,
    )
    made = helper.make_model(
        whole,
        producer_name="p" + noise,
        opset_imports=[helper.make_opsetid(*opset) for opset in opsets],
        ir_version=8,
    )
    if noise:
        helper.set_model_props(made, {"path": noise})
    return made


def test_what_says_nothing_falls_away() -> None:
    plain = graph.normalised(model())
    noisy = graph.normalised(model(noise="/home/me/train.py", opsets=(("", 18), ("", 18))))
    assert noisy == plain
    assert b"/home/me" not in noisy


def test_the_order_of_opsets_does_not_matter() -> None:
    one = graph.normalised(model(opsets=(("", 18), ("ai.onnx.ml", 3))))
    two = graph.normalised(model(opsets=(("ai.onnx.ml", 3), ("", 18))))
    assert one == two


def test_what_the_model_computes_stays() -> None:
    changed = model()
    changed.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.zeros((2, 2), "f4"), "w"))
    assert graph.normalised(changed) != graph.normalised(model())


def test_an_invalid_graph_is_refused() -> None:
    broken = model()
    broken.graph.node[-1].input[1] = "nowhere"
    with pytest.raises(Failure, match="not a valid ONNX graph"):
        graph.normalised(broken)


def test_outputs_are_renamed_and_inner_values_give_way() -> None:
    made = model()
    graph.rename(made.graph, {"y": "picked"})
    assert [node.name for node in made.graph.output] == ["picked"]
    onnx.checker.check_model(made)
    assert made.graph.node[-1].input[0] == made.graph.node[1].output[0] == "picked_inner"
    deep = model()
    graph.rename(deep.graph, {"y": "inner"})
    onnx.checker.check_model(deep)
    assert deep.graph.node[1].attribute[0].g.output[0].name == "inner_inner"


def features(**columns) -> Features:
    return Features({name: np.asarray(values) for name, values in columns.items()}, None)


def test_an_onnx_model_is_taken_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(model(noise="kept").SerializeToString())
    found = taken.take(str(path), features(a=[1.0], b=[2.0]))
    assert found["graph"] == path
    assert found["assemble"] == {"x": ["a", "b"]}
    assert (found["outputs"], found["opset"], found["reference"]) == (["y"], 18, [])
    assert taken.take(str(path), features(x=[[1.0, 2.0]]))["assemble"] == {"x": ["x"]}


def test_an_onnx_model_that_cannot_be_served_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    with pytest.raises(Failure, match="is not there"):
        taken.take(str(path), features(a=[1.0]))
    path.write_bytes(b"\x00garbage")
    with pytest.raises(Failure, match="is not an ONNX model"):
        taken.take(str(path), features(a=[1.0]))
    path.write_bytes(model().SerializeToString())
    with pytest.raises(Failure, match="reads 2 features, the examples give 3"):
        taken.take(str(path), features(a=[1.0], b=[1.0], c=[1.0]))
    outside = model()
    onnx.external_data_helper.convert_model_to_external_data(outside, size_threshold=0, location="w.bin")
    onnx.save_model(outside, path)
    (tmp_path / "w.bin").unlink()
    with pytest.raises(Failure, match="which is not there"):
        taken.take(str(path), features(a=[1.0], b=[2.0]))


def reading(path: Path, **kinds: int) -> str:
    """A graph with these inputs of [rows], which it gives as they are."""
    made = helper.make_graph(
        [helper.make_node("Identity", [name], [f"{name}_out"]) for name in kinds],
        "g",
        [helper.make_tensor_value_info(name, kind, [None]) for name, kind in kinds.items()],
        [helper.make_tensor_value_info(f"{name}_out", kind, [None]) for name, kind in kinds.items()],
    )
    opsets = [helper.make_opsetid("", 18)]
    path.write_bytes(helper.make_model(made, opset_imports=opsets, ir_version=8).SerializeToString())
    return str(path)


@pytest.mark.parametrize("reduced", [False, True])
def test_what_the_graph_reads_and_nobody_gives_is_named(tmp_path: Path, reduced: bool) -> None:
    file = reading(tmp_path / "m.onnx", a=TensorProto.FLOAT, word=TensorProto.STRING)
    words = np.array(["x", "y"], object)

    def given(**columns) -> Features:
        arrays = {name: np.asarray(values) for name, values in columns.items()}
        return Features(arrays, None, reduced=reduced)

    assert taken.take(file, given(a=[1.0, 2.0], word=words))["assemble"] == {"a": ["a"], "word": ["word"]}
    giver = "the reduction does" if reduced else "the examples do"
    with pytest.raises(Failure, match=f"has inputs that {giver} not: word") as caught:
        taken.take(file, given(a=[1.0, 2.0], b=[1.0, 2.0]))
    assert caught.value.cause == "there are a, b"
    with pytest.raises(Failure, match="reads 'word' as text, 'word' is numbers"):
        taken.take(file, given(a=[1.0, 2.0], word=[1.0, 2.0]))
    with pytest.raises(Failure, match="reads 'a' as numbers, 'a' is text") as caught:
        taken.take(file, given(a=words, word=words))
    assert ("from the reduction" in caught.value.fix) == reduced


def test_a_map_as_output_is_refused(tmp_path: Path) -> None:
    made = model()
    kind = helper.make_map_type_proto(
        TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, None)
    )
    node = helper.make_node("ZipMap", ["y"], ["z"], domain="ai.onnx.ml", classlabels_int64s=[0, 1])
    made.graph.node.append(node)
    made.graph.output.append(helper.make_value_info("z", helper.make_sequence_type_proto(kind)))
    made.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    path = tmp_path / "m.onnx"
    path.write_bytes(made.SerializeToString())
    with pytest.raises(Failure, match=r"'z' is a sequence_type, not a tensor.*") as caught:
        taken.take(str(path), features(a=[1.0], b=[2.0]))
    assert "zipmap" in caught.value.fix


class Named:
    def __init__(self, *names: str, count: int | None = None) -> None:
        if names:
            self.feature_names_in_ = list(names)
        self.n_features_in_ = count if count is not None else len(names)


def test_features_take_the_models_order() -> None:
    found = features(a=[1.0], b=[2.0]).ordered(Named("b", "a"))
    assert found.names == ["b", "a"]


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Named("a", "c", "d"), "columns that the examples do not have: c, d"),
        (Named("a"), "columns that the model does not read: b"),
        (Named(count=3), "the model reads 3 features, the examples give 2"),
    ],
)
def test_features_that_do_not_match_are_named(wanted, said: str) -> None:
    with pytest.raises(Failure) as caught:
        features(a=[1.0], b=[2.0]).ordered(wanted)
    assert said in caught.value.what


def test_what_the_original_is_called_with() -> None:
    matrix = features(a=[1, 2], b=[True, False]).for_model(object())
    assert matrix.dtype == np.float64
    assert matrix.tolist() == [[1.0, 1.0], [2.0, 0.0]]
    with pytest.raises(Failure, match=r"'m' has the shape \[1, 2\] beside other columns"):
        features(m=[[1.0, 2.0]], a=[1.0]).for_model(object())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ir_version": 99}, "has the IR version 99"),
        ({"ir_version": 1}, "has the IR version 1"),
        ({"opsets": (("", 6),)}, "has opset 6"),
        ({"opsets": (("", 999),)}, "has opset 999"),
    ],
)
def test_versions_that_nobody_knows_are_refused(tmp_path: Path, change, said: str) -> None:
    made = model(opsets=change.get("opsets", (("", 18),)))
    made.ir_version = change.get("ir_version", 8)
    (tmp_path / "m.onnx").write_bytes(made.SerializeToString())
    with pytest.raises(Failure, match=f"m.onnx {said}"):
        taken.take(str(tmp_path / "m.onnx"), features(a=[1.0], b=[2.0]))


def test_operators_of_others_are_refused_unless_the_model_has_them(tmp_path: Path) -> None:
    made = model()
    made.opset_import.append(helper.make_opsetid("mine", 1))
    path = tmp_path / "m.onnx"
    path.write_bytes(made.SerializeToString())
    assert taken.take(str(path), features(a=[1.0], b=[2.0]))["opset"] == 18  # named, and not used
    made.graph.node[-1].domain = "mine"
    path.write_bytes(made.SerializeToString())
    with pytest.raises(Failure, match="has operators of mine"):
        taken.take(str(path), features(a=[1.0], b=[2.0]))
    nodes = [helper.make_node("MatMul", ["p", "q"], ["r"], doc_string="/home/me")]
    opsets = [helper.make_opsetid("", 18)]
    made.functions.append(helper.make_function("mine", "MatMul", ["p", "q"], ["r"], nodes, opsets))
    path.write_bytes(made.SerializeToString())
    assert taken.take(str(path), features(a=[1.0], b=[2.0]))["opset"] == 18
    assert b"/home/me" not in graph.normalised(made)
