"""The pipeline on real (tiny) graphs: with and without a reduction, and what it refuses at load."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from mlship_runtime.bundle.spec import TensorSpec
from mlship_runtime.errors import BadInput, InvalidBundle
from mlship_runtime.model.pipeline import Pipeline
from mlship_runtime.model.reduction import ReductionFailed
from mlship_runtime.model.session import ModelFailed


def tensor(name, datatype="FP64", shape=(-1,), nullable=False):
    return TensorSpec(name, datatype, tuple(shape), nullable)


def test_a_matrix_goes_straight_to_the_model(make_tree):
    answer = Pipeline(make_tree()).predict({"X": np.array([[1, 2], [-3, 1]], np.float32)})
    assert list(answer) == ["label", "sum"]
    assert answer["label"].tolist() == [[1], [0]]
    assert answer["label"].dtype == np.int64
    assert answer["sum"].tolist() == [[3.0], [-2.0]]


def test_columns_are_put_side_by_side_in_the_order_of_assemble(make_tree):
    tree = make_tree(inputs=(tensor("a"), tensor("b", "INT64")), assemble={"X": ["b", "a"]})
    answer = Pipeline(tree).predict({"a": np.array([0.5]), "b": np.array([2], np.int64)})
    assert answer["sum"].tolist() == [[2.5]]


def test_a_reduction_sees_the_columns_and_feeds_the_model(make_tree):
    line = "return {'X': np.stack([columns['a'], columns['a'] * 2], 1)}"
    code = f"import numpy as np\ndef reduce(columns):\n    {line}\n"
    tree = make_tree(inputs=(tensor("a"),), reduction=code, reduced=(tensor("X", "FP64", (-1, 2)),))
    assert Pipeline(tree).predict({"a": np.array([1.0, 2.0])})["sum"].tolist() == [[3.0], [6.0]]


RESULTS = [
    ("return None", "NoneType"),
    ("return {}", "dict"),
    ("return {'X': [[1, 2]]}", "'X' is list"),
    ("return {'X': np.zeros((3, 2))}", "X has the shape [3, 2] for 1 rows"),
    ("return {'X': np.zeros((1, 5))}", "X has the shape [1, 5], recorded is [-1, 2]"),
    ("return {'X': np.zeros((1, 2), np.int8)}", "X is int8, recorded is FP64"),
    ("return {'Y': np.zeros((1, 2))}", "X is missing"),
    ("return {'X': np.zeros((1, 2)), 'Y': np.zeros(1)}", "Y is new"),
    ("raise KeyError('unit')", "KeyError"),
    ("raise SystemExit(0)", "SystemExit"),
]


@pytest.mark.parametrize(("line", "said"), RESULTS)
def test_a_reduction_that_fails_or_returns_something_else(make_tree, line, said):
    code = f"import numpy as np\ndef reduce(columns):\n    {line}\n"
    tree = make_tree(inputs=(tensor("a"),), reduction=code, reduced=(tensor("X", "FP64", (-1, 2)),))
    with pytest.raises(ReductionFailed) as caught:
        Pipeline(tree).predict({"a": np.array([1.0])})
    assert said in str(caught.value)


def test_a_reduction_sees_the_columns_in_the_order_of_the_schema(make_tree):
    code = "import numpy as np\ndef reduce(columns):\n    return {'X': np.stack(list(columns.values()), 1)}\n"
    inputs = (tensor("a"), tensor("b"))
    pipeline = Pipeline(make_tree(inputs=inputs, reduction=code, reduced=(tensor("X", "FP64", (-1, 2)),)))
    assert pipeline.reduce({"b": np.array([2.0]), "a": np.array([1.0])})["X"].tolist() == [[1.0, 2.0]]


def test_an_unrecorded_reduction_may_return_what_it_likes(make_tree):
    code = "def reduce(columns):\n    return {'anything': columns['a']}\n"
    pipeline = Pipeline(
        make_tree(inputs=(tensor("a"),), reduction=code, assemble={"X": ["anything", "anything"]})
    )
    assert pipeline.reduce({"a": np.array([1.0])})["anything"].tolist() == [1.0]


def test_a_number_too_large_for_the_model_names_its_column_and_row(make_tree):
    tree = make_tree(inputs=(tensor("a"), tensor("b")), assemble={"X": ["a", "b"]})
    with pytest.raises(BadInput, match=r"^b, row 1 is -1e\+300, too large for the model") as caught:
        Pipeline(tree).predict({"a": np.array([1.0, 2.0]), "b": np.array([1.0, -1e300])})
    assert caught.value.field == "b"


def test_a_number_too_large_in_a_matrix_names_its_row(make_tree):
    tree = make_tree(inputs=(tensor("X", "FP64", (-1, 2)),))
    with pytest.raises(BadInput, match=r"^X, row 1 is 1e\+300, too large") as caught:
        Pipeline(tree).predict({"X": np.array([[1.0, 2.0], [3.0, 1e300]])})
    assert caught.value.field == "X"


def test_changed_model_bytes_are_not_loaded(make_tree):
    tree = make_tree()
    path = Path(tree.path("model/model.onnx"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(InvalidBundle, match="not the file of the index"):
        Pipeline(tree)


def test_what_is_no_model_is_refused(make_tree):
    with pytest.raises(InvalidBundle, match="cannot be loaded"):
        Pipeline(make_tree(model=b"not a graph"))


def test_outputs_that_the_graph_does_not_have(make_tree):
    with pytest.raises(InvalidBundle, match="'price'"):
        Pipeline(make_tree(outputs=(tensor("price", "FP32"),)))


def test_a_schema_that_cannot_feed_the_model(make_tree):
    with pytest.raises(InvalidBundle, match="nothing feeds the model's input 'X'"):
        Pipeline(make_tree(inputs=(tensor("a"),), assemble={"X": ["a", "b"]}))


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("raise RuntimeError('no')", "cannot be imported: RuntimeError: no"),
        ("raise SystemExit(3)", "cannot be imported: SystemExit: 3"),
        ("other = 1", "has no function 'reduce'"),
    ],
)
def test_a_reduction_that_cannot_be_loaded(make_tree, code, said):
    with pytest.raises(InvalidBundle, match=said):
        Pipeline(make_tree(inputs=(tensor("a"),), reduction=code))


def test_a_model_that_fails_says_no_more_than_its_kind(make_tree):
    with pytest.raises(ModelFailed, match=r"the model failed on this input \(InvalidArgument\)$"):
        Pipeline(make_tree()).run({"X": np.zeros((1, 7), np.float32)})


def doubling(*, opset: int = 17) -> bytes:
    """a, b [N, 1] float -> X [N, 2]: both, doubled."""
    nodes = [
        helper.make_node("Concat", ["a", "b"], ["both"], axis=1),
        helper.make_node("Add", ["both", "both"], ["X"]),
    ]
    graph = helper.make_graph(
        nodes,
        "doubling",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1]) for name in "ab"],
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, 2])],
    )
    opsets = [helper.make_opsetid("", opset)]
    data: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    return data


GRAPH = {
    "inputs": (tensor("a"), tensor("b", "INT64")),
    "reduced": (tensor("X", "FP32", (-1, 2)),),
    "columns": {"a": ["a"], "b": ["b"]},
}


@pytest.mark.parametrize("fused", [True, False])
def test_a_graph_that_reduces_answers_alike_in_one_session_and_in_two(make_tree, fused):
    pipeline = Pipeline(make_tree(**GRAPH, reduction=doubling(), fused=fused))
    columns = {"a": np.array([1.0, 0.5]), "b": np.array([2, -4])}
    assert pipeline.fused is fused
    assert pipeline.predict(columns)["sum"].tolist() == [[6.0], [-7.0]]
    assert pipeline.reduce(columns)["X"].tolist() == [[2.0, 4.0], [1.0, -8.0]]
    assert pipeline.run(pipeline.reduce(columns))["label"].tolist() == [[1], [0]]


@pytest.mark.parametrize("fused", [True, False])
def test_a_number_too_large_for_the_reduction_names_its_column_and_row(make_tree, fused):
    pipeline = Pipeline(make_tree(**GRAPH, reduction=doubling(), fused=fused))
    with pytest.raises(BadInput, match=r"^a, row 1 is 1e\+300, too large") as caught:
        pipeline.predict({"a": np.array([1.0, 1e300]), "b": np.array([1, 1])})
    assert caught.value.field == "a"


def test_graphs_that_do_not_go_together_are_refused_where_the_bundle_says_fused(make_tree):
    with pytest.raises(InvalidBundle, match=r"one graph: the reduction has opset 18, the model 17$"):
        Pipeline(make_tree(**GRAPH, reduction=doubling(opset=18)))
    apart = Pipeline(make_tree(**GRAPH, reduction=doubling(opset=18), fused=False))
    assert apart.predict({"a": np.array([1.0]), "b": np.array([2])})["sum"].tolist() == [[6.0]]


def test_a_graph_that_reduces_otherwise_than_recorded(make_tree):
    more = {**GRAPH, "reduced": (tensor("X", "FP32", (-1, 3)),)}
    with pytest.raises(ReductionFailed, match=r"X has the shape \[1, 2\], recorded is \[-1, 3\]"):
        Pipeline(make_tree(**more, reduction=doubling(), fused=False)).predict(
            {"a": np.array([1.0]), "b": np.array([2])}
        )


@pytest.mark.parametrize("fused", [True, False])
def test_an_input_of_the_reduction_that_nothing_feeds(make_tree, fused):
    lacking = {**GRAPH, "inputs": (tensor("a"),), "columns": {"a": ["a"]}}
    with pytest.raises(InvalidBundle, match="nothing feeds the reduction's input 'b'"):
        Pipeline(make_tree(**lacking, reduction=doubling(), fused=fused))


def test_changed_bytes_of_the_reduction_are_not_loaded(make_tree):
    tree = make_tree(**GRAPH, reduction=doubling())
    path = Path(tree.path("reduction/reduction.onnx"))
    path.write_bytes(path.read_bytes().replace(b"both", b"bath"))
    with pytest.raises(InvalidBundle, match="onnx is not the file of the index"):
        Pipeline(tree)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("place", ["/etc/passwd", "../../secret", "shards/other.bin"])
def test_a_reduction_that_looks_for_weights_elsewhere_is_refused(make_tree, fused, place):
    graph = onnx.load_model_from_string(doubling())
    weight = onnx.TensorProto(name="w", data_type=1, dims=[1], data_location=onnx.TensorProto.EXTERNAL)
    for key, value in (("location", place), ("offset", "0"), ("length", "4")):
        weight.external_data.add(key=key, value=value)
    graph.graph.initializer.append(weight)
    graph.graph.node[1].input[1] = "w"
    tree = make_tree(**GRAPH, reduction=graph.SerializeToString(), fused=fused)
    with pytest.raises(InvalidBundle, match=r"looks for weights outside of the bundle \('(reduction/)?w'\)"):
        Pipeline(tree)


@pytest.mark.parametrize("data", [b"", b"no graph", doubling()[:-7]])
def test_a_reduction_that_is_no_graph_is_refused(make_tree, data):
    for fused in (True, False):
        with pytest.raises(InvalidBundle, match=r"not an ONNX model|cannot be loaded"):
            Pipeline(make_tree(**GRAPH, reduction=data, fused=fused))


def test_the_engine_keeps_no_file_on_what_it_does(tmp_path):
    """It would, in the user's home, and send it to its maker."""
    code = "import mlship_runtime.model.session, os; print(*os.listdir(os.environ['HOME']))"
    home = {**os.environ, "HOME": str(tmp_path), "XDG_CACHE_HOME": ""}
    done = subprocess.run([sys.executable, "-c", code], env=home, capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), list(tmp_path.iterdir())) == ("", [])


def test_threads_of_the_engine_sleep_when_they_have_nothing_to_do(make_tree):
    options = Pipeline(make_tree(), 2)._stages().session._public.get_session_options()
    assert options.intra_op_num_threads == 2
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
