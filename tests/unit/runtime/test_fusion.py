"""Two ONNX files in one: the same answers as one after the other, whatever names they share."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from mlship_runtime.bundle.fusion import CannotFuse, fuse
from mlship_runtime.bundle.graph_parts import GraphFile
from mlship_runtime.bundle.spec import TensorSpec
from mlship_runtime.errors import InvalidBundle

F, D, S, B = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.STRING, TensorProto.BOOL
WHOLE = TensorProto.INT64


def value(name: str, element: int, *shape: Any) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, element, shape)


def file(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    weights: dict[str, Any] | None = None,
    *,
    opsets: dict[str, int] | None = None,
    functions: list[onnx.FunctionProto] | None = None,
    ir_version: int = 9,
) -> bytes:
    constants = [onnx.numpy_helper.from_array(np.array(v), n) for n, v in (weights or {}).items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, constants)
    opset = [helper.make_opsetid(d, v) for d, v in (opsets or {"": 17}).items()]
    model = helper.make_model(
        graph, opset_imports=opset, ir_version=ir_version, functions=functions or [], producer_name="test"
    )
    onnx.checker.check_model(model)
    return model.SerializeToString()


def spec(name: str, datatype: str, *shape: int) -> TensorSpec:
    return TensorSpec(name, datatype, shape, False)


# h = x * 2 and half = x / 2 of [rows]; every name is also one of the model's.
REDUCTION = file(
    [
        helper.make_node("Mul", ["x", "w"], ["h"], name="n"),
        helper.make_node("Div", ["x", "w"], ["half"], name="n2"),
    ],
    [value("x", F, "rows")],
    [value("h", F, "rows"), value("half", F, "rows")],
    {"w": np.array([2], "f4")},
)
# sum of two features and a weight called like the reduction's
MODEL = file(
    [
        helper.make_node("MatMul", ["features", "w"], ["h"], name="n"),
        helper.make_node("Neg", ["h"], ["x"], name="n2"),
    ],
    [value("features", F, "rows", 2)],
    [value("h", F, "rows", 1), value("x", F, "rows", 1)],
    {"w": np.array([[1], [10]], "f4")},
)
BOTH = [spec("h", "FP32", -1), spec("half", "FP32", -1)]


def answers(data: bytes, **feed: Any) -> list[Any]:
    onnx.checker.check_model(onnx.load_model_from_string(data), full_check=True)
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return session.run(None, feed)


def test_shared_names_do_not_meet() -> None:
    fused = fuse(REDUCTION, MODEL, {"features": ["h", "half"]}, BOTH)
    assert fused.inputs == {"x": "reduction/x"}  # the model has an x
    found, negated = answers(fused.data, **{"reduction/x": np.array([1, 3], "f4")})
    assert found.tolist() == [[7.0], [21.0]]
    assert negated.tolist() == [[-7.0], [-21.0]]


def test_the_same_files_give_the_same_bytes_and_the_model_stays_as_it_is() -> None:
    one, two = (fuse(REDUCTION, MODEL, {"features": ["h", "half"]}, BOTH) for _ in range(2))
    assert one == two
    made, model = onnx.load_model_from_string(one.data), onnx.load_model_from_string(MODEL)
    assert list(made.graph.node)[-2:] == list(model.graph.node)
    assert made.graph.output == model.graph.output
    assert (made.producer_name, made.graph.name, made.ir_version) == ("test", "g", 9)


def test_an_input_keeps_its_name_where_that_is_free() -> None:
    reduction = file(
        [helper.make_node("Identity", ["age"], ["features"])],
        [value("age", F, None, 2)], [value("features", F, None, 2)],
    )  # fmt: skip
    fused = fuse(reduction, MODEL, {"features": ["features"]}, [spec("features", "FP32", -1, 2)])
    assert fused.inputs == {"age": "age"}
    assert answers(fused.data, age=np.array([[1, 2]], "f4"))[0].tolist() == [[21.0]]


def test_prefixes_that_the_files_have_already_are_not_taken() -> None:
    odd = MODEL.replace(b"features", b"joint/ab")
    named = onnx.load_model_from_string(odd)
    named.graph.node[0].name = "reduction/h"
    model = named.SerializeToString()
    fused = fuse(REDUCTION, model, {"joint/ab": ["h", "half"]}, BOTH)
    assert fused.inputs == {"x": "reduction1/x"}
    assert answers(fused.data, **{"reduction1/x": np.array([1], "f4")})[0].tolist() == [[7.0]]


def test_whole_numbers_truth_and_wide_tensors_are_put_side_by_side() -> None:
    reduction = file(
        [helper.make_node("Identity", [name], [f"{name}2"]) for name in ("count", "known", "table")],
        [value("count", WHOLE, "n"), value("known", B, "n", 1), value("table", F, "n", 2, 2)],
        [value("count2", WHOLE, "n"), value("known2", B, "n", 1), value("table2", F, "n", 2, 2)],
    )
    model = file(
        [helper.make_node("Identity", ["X"], ["y"])], [value("X", D, "n", 6)], [value("y", D, "n", 6)]
    )
    reduced = [spec("count2", "INT64", -1), spec("known2", "BOOL", -1, 1), spec("table2", "FP32", -1, 2, 2)]
    fused = fuse(reduction, model, {"X": ["known2", "count2", "table2"]}, reduced)
    feed = {"count": np.array([7]), "known": np.array([[True]]), "table": np.arange(4, dtype="f4")}
    feed["table"] = feed["table"].reshape(1, 2, 2)
    assert answers(fused.data, **feed)[0].tolist() == [[1, 7, 0, 1, 2, 3]]


def test_texts_go_through_and_a_column_becomes_a_matrix() -> None:
    reduction = file(
        [helper.make_node("Identity", ["word"], ["said"])], [value("word", S, "n")], [value("said", S, "n")]
    )
    model = file(
        [helper.make_node("Identity", ["said"], ["y"])],
        [value("said", S, "n", 1)],
        [value("y", S, "n", 1)],
    )
    fused = fuse(reduction, model, {"said": ["said"]}, [spec("said", "BYTES", -1)])
    assert answers(fused.data, word=np.array(["a", "b"], object))[0].tolist() == [["a"], ["b"]]


def test_names_in_inner_graphs_are_changed_with_those_around_them() -> None:
    """Both branches read a value of the outer graph and define one of the same name as the model's."""
    branches = {
        f"{word}_branch": helper.make_graph(
            [helper.make_node(operator, ["x", "w"], [f"h{word}"])], word, [], [value(f"h{word}", F, "n")]
        )
        for word, operator in (("then", "Mul"), ("else", "Div"))
    }
    reduction = file(
        [
            helper.make_node("ReduceSum", ["x"], ["total"], keepdims=0),
            helper.make_node("Greater", ["total", "w0"], ["positive"]),
            helper.make_node("If", ["positive"], ["h"], **branches),
        ],
        [value("x", F, "n")],
        [value("h", F, "n")],
        {"w": np.array([2], "f4"), "w0": np.array(0, "f4")},
    )
    model = file(
        [helper.make_node("Add", ["h", "hthen"], ["y"])],
        [value("h", F, "n")],
        [value("y", F, "n")],
        {"hthen": np.array([1], "f4")},
    )
    fused = fuse(reduction, model, {"h": ["h"]}, [spec("h", "FP32", -1)])
    assert answers(fused.data, x=np.array([4, 2], "f4"))[0].tolist() == [9.0, 5.0]
    assert answers(fused.data, x=np.array([-4, 2], "f4"))[0].tolist() == [-1.0, 2.0]


def twice(factor: float) -> onnx.FunctionProto:
    nodes = [
        helper.make_node("Constant", [], ["k"], value_float=float(factor)),
        helper.make_node("Mul", ["a", "k"], ["b"]),
    ]
    return helper.make_function("own", "times", ["a"], ["b"], nodes, [helper.make_opsetid("", 17)])


def with_function(name: str, given: str, factor: float) -> bytes:
    return file(
        [helper.make_node("times", [name], [given], domain="own")],
        [value(name, F, "n")], [value(given, F, "n")],
        opsets={"": 17, "own": 1}, functions=[twice(factor)],
    )  # fmt: skip


def test_functions_of_both_come_along_and_different_ones_of_one_name_do_not() -> None:
    reduced = [spec("h", "FP32", -1)]
    fused = fuse(with_function("x", "h", 2), with_function("h", "y", 2), {"h": ["h"]}, reduced)
    assert answers(fused.data, x=np.array([1], "f4"))[0].tolist() == [4.0]
    fused = fuse(with_function("x", "h", 3), ADD_ONE, {"h": ["h"]}, reduced)
    assert answers(fused.data, x=np.array([1], "f4"))[0].tolist() == [4.0]
    with pytest.raises(CannotFuse, match="both have a function 'times', and these differ"):
        fuse(with_function("x", "h", 2), with_function("h", "y", 3), {"h": ["h"]}, reduced)


def plain(name: str, given: str, opsets: dict[str, int], element: int = F, ir_version: int = 9) -> bytes:
    node = helper.make_node("Neg", [name], [given])
    return file([node], [value(name, element, "n")], [value(given, element, "n")], opsets=opsets,
                ir_version=ir_version)  # fmt: skip


ADD_ONE = file(
    [helper.make_node("Add", ["h", "one"], ["y"])], [value("h", F, "n")], [value("y", F, "n")],
    {"one": np.array([1], "f4")},
)  # fmt: skip


def test_a_version_that_is_declared_and_not_used_does_not_matter() -> None:
    reduction = plain("x", "h", {"": 17, "ai.onnx.ml": 1})
    model = plain("h", "y", {"": 17, "ai.onnx.ml": 3}, ir_version=7)
    fused = fuse(reduction, model, {}, [spec("h", "FP32", -1)])
    made = onnx.load_model_from_string(fused.data)
    assert {opset.domain: opset.version for opset in made.opset_import} == {"": 17, "ai.onnx.ml": 3}
    assert made.ir_version == 9
    assert answers(fused.data, x=np.array([1.5], "f4"))[0].tolist() == [1.5]


@pytest.mark.parametrize(
    ("reduction", "model", "reduced", "said"),
    [
        (plain("x", "h", {"": 17}), plain("h", "y", {"": 18}), spec("h", "FP32", -1),
         "the reduction has opset 17, the model 18"),
        (plain("x", "h", {"": 17}, D), plain("h", "y", {"": 17}), spec("h", "FP64", -1),
         "the model reads 'h' as FP32, the reduction gives FP64"),
        (plain("x", "h", {"": 12}, WHOLE, 7), plain("h", "y", {"": 12}), spec("h", "INT64", -1),
         "opset 12 is older than 13"),
        (plain("x", "h", {"": 17}), plain("h", "y", {"": 17}), spec("i", "FP32", -1),
         "the reduction has no output 'i'"),
        (plain("x", "h", {"": 17}), plain("i", "y", {"": 17}), spec("h", "FP32", -1),
         "nothing feeds the model's input 'i'"),
    ],
)  # fmt: skip
def test_what_stays_apart_says_why(reduction: bytes, model: bytes, reduced: TensorSpec, said: str) -> None:
    with pytest.raises(CannotFuse) as caught:
        fuse(reduction, model, {}, [reduced])
    assert str(caught.value) == said


def test_a_column_that_the_reduction_does_not_give() -> None:
    with pytest.raises(CannotFuse, match="does not give 'third', which the model reads"):
        fuse(REDUCTION, MODEL, {"features": ["h", "third"]}, BOTH)


@pytest.mark.parametrize("data", [b"", b"no graph", b"\x3a\x02\x0a\x7f", REDUCTION[:-9]])
def test_what_is_no_onnx_file_is_said_to_be_none(data: bytes) -> None:
    for pair in ((data, MODEL), (REDUCTION, data)):
        with pytest.raises(InvalidBundle, match="not an ONNX model"):
            fuse(*pair, {"features": ["h", "half"]}, BOTH)


def test_parts_that_lie_too_deep_are_refused() -> None:
    graph = b""
    for _ in range(3000):  # a node with an attribute with a graph, and so on
        for tag in (b"\x32", b"\x2a", b"\x0a"):
            size, length = len(graph), bytearray()
            while size > 127:
                length.append(size & 127 | 128)
                size >>= 7
            graph = tag + bytes([*length, size]) + graph
    size, length = len(graph), bytearray()
    while size > 127:
        length.append(size & 127 | 128)
        size >>= 7
    deep = b"\x3a" + bytes([*length, size]) + graph
    with pytest.raises(InvalidBundle, match="too deep"):
        fuse(REDUCTION, deep, {}, BOTH)


def test_what_a_graph_reads_is_without_its_constants() -> None:
    data = file(
        [helper.make_node("Add", ["x", "c"], ["y"])],
        [value("x", F, "n", 3), value("c", F, 1)],
        [value("y", F, "n", 3)],
        {"c": np.array([1], "f4")},
    )
    found = GraphFile(data)
    assert {name: (v.element, v.rank) for name, v in found.inputs.items()} == {"x": (F, 2)}
    assert list(found.outputs) == ["y"]
    model = file([helper.make_node("Neg", ["y"], ["z"])], [value("y", F, "n", 3)], [value("z", F, "n", 3)])
    fused = fuse(data, model, {}, [spec("y", "FP32", -1, 3)])
    assert answers(fused.data, x=np.ones((1, 3), "f4"))[0].tolist() == [[-2.0] * 3]


@given(st.data())
def test_damaged_files_are_fused_or_refused_and_nothing_else(draw: st.DataObject) -> None:
    files = [bytearray(REDUCTION), bytearray(with_function("features", "y", 2))]
    for _ in range(draw.draw(st.integers(1, 4))):
        data = draw.draw(st.sampled_from(files))
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    try:
        fused = fuse(bytes(files[0]), bytes(files[1]), {"features": ["h"]}, BOTH)
    except (CannotFuse, InvalidBundle):
        return
    assert len(fused.data) > len(files[1])


def test_names_that_are_no_utf8_go_through() -> None:
    reduction = plain("x", "hh", {"": 17}).replace(b"hh", b"h\xab")
    fused = fuse(reduction, ADD_ONE, {"h": ["h\udcab"]}, [spec("h\udcab", "FP32", -1)])
    assert b"reduction/h\xab" in fused.data
