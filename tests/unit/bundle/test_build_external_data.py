"""Where an ONNX model says its weights lie: read and checked before any library follows it."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnx
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from mlship.bundle.children import external_data, taken
from mlship.bundle.children.external_data import External, externals
from mlship.bundle.children.failure import Failure
from mlship.bundle.children.features import Features


def tensor(location: str = "w.bin", *, name: str = "w", **said: object) -> TensorProto:
    """A tensor of two by two numbers that lies in `location`."""
    made = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[2, 2])
    made.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **said}.items():
        made.external_data.add(key=key, value=str(value))
    return made


def in_the_graph(found: TensorProto) -> onnx.ModelProto:
    node = helper.make_node("MatMul", ["x", found.name], ["y"])
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 2]) for name in "xy"]
    graph = helper.make_graph([node], "g", values[:1], values[1:], [found])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def inner(found: TensorProto) -> onnx.GraphProto:
    value = helper.make_tensor_value_info("z", TensorProto.FLOAT, [2, 2])
    return helper.make_graph([helper.make_node("Identity", [found.name], ["z"])], "i", [], [value], [found])


def in_a_branch(found: TensorProto) -> onnx.ModelProto:
    node = helper.make_node("If", ["c"], ["z"], then_branch=inner(found), else_branch=inner(found))
    return helper.make_model(helper.make_graph([node], "g", [], []))


def in_a_constant(found: TensorProto) -> onnx.ModelProto:
    return helper.make_model(
        helper.make_graph([helper.make_node("Constant", [], ["w"], value=found)], "g", [], [])
    )


def in_a_function(found: TensorProto) -> onnx.ModelProto:
    nodes = [helper.make_node("Constant", [], ["w"], value=found)]
    function = helper.make_function("own", "F", [], ["w"], nodes, [helper.make_opsetid("", 18)])
    return helper.make_model(helper.make_graph([], "g", [], []), functions=[function])


def in_a_sparse_tensor(found: TensorProto) -> onnx.ModelProto:
    model = helper.make_model(helper.make_graph([], "g", [], []))
    model.graph.sparse_initializer.add().values.CopyFrom(found)
    return model


def in_the_training(found: TensorProto) -> onnx.ModelProto:
    model = helper.make_model(helper.make_graph([], "g", [], []))
    model.training_info.add().initialization.CopyFrom(inner(found))
    return model


def in_a_list(found: TensorProto) -> onnx.ModelProto:
    node = helper.make_node("Own", [], ["w"], domain="own", some=[found])
    return helper.make_model(helper.make_graph([node], "g", [], []))


PLACES = [
    in_the_graph, in_a_branch, in_a_constant, in_a_function, in_a_sparse_tensor, in_the_training, in_a_list,
]  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_a_tensor_is_found_wherever_it_hides(place: Callable[[TensorProto], onnx.ModelProto]) -> None:
    data = place(tensor("../secret", offset=4, length=16)).SerializeToString()
    assert set(externals(data, "m.onnx")) == {External("w", "../secret", 4, 16)}


def test_a_whole_model_names_nothing() -> None:
    made = in_the_graph(numpy_helper.from_array(np.ones((2, 2), "f4"), "w"))
    assert externals(made.SerializeToString(), "m.onnx") == []


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A folder with 16 bytes of weights, and a secret beside the folder."""
    folder = tmp_path / "model"
    (folder / "deep").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(b"s" * 16)
    (folder / "w.bin").write_bytes(b"w" * 16)
    (folder / "deep" / "w.bin").write_bytes(b"w" * 16)
    return folder


@pytest.mark.parametrize("location", ["w.bin", "deep/w.bin"])
@pytest.mark.parametrize(
    "said", [{}, {"offset": 0, "length": 16}, {"offset": 16}, {"offset": 8, "length": 8}]
)
def test_what_lies_inside_passes(weights: Path, location: str, said: dict[str, int]) -> None:
    data = in_the_graph(tensor(location, **said)).SerializeToString()
    external_data.check(weights, externals(data, "m.onnx"))


@pytest.mark.parametrize(
    "location",
    [
        "", "/etc/passwd", "../secret", "deep/../../secret", "deep/../w.bin", "./w.bin", "deep//w.bin", "..",
        ".", "deep", "deep/", "nowhere", "w.bin/x", "C:\\w.bin", "C:w.bin", "..\\secret", "\\\\host\\w.bin",
        "w.bin\0", "w\n.bin", "a/" * 3000 + "w.bin", "link", "linked/w.bin", "linked/secret", "hard", "pipe",
    ],
)  # fmt: skip
def test_what_leads_elsewhere_is_refused(weights: Path, location: str) -> None:
    (weights / "link").symlink_to("w.bin")
    (weights / "linked").symlink_to("..")
    os.link(weights.parent / "secret", weights / "hard")
    os.mkfifo(weights / "pipe")
    with pytest.raises(Failure, match="the tensor 'w' "):
        external_data.check(weights, [External("w", location, 0, None)])


@pytest.mark.parametrize(("offset", "length"), [(0, 17), (16, 1), (17, 0), (17, None), (10**17, 1), (8, 9)])
def test_what_ends_beyond_its_file_is_refused(weights: Path, offset: int, length: int | None) -> None:
    with pytest.raises(Failure, match="ends at byte"):
        external_data.check(weights, [External("w", "w.bin", offset, length)])


@pytest.mark.parametrize(
    "said", [{"offset": "-1"}, {"length": "1e3"}, {"length": ""}, {"offset": "٣"}, {"length": "9" * 19}]
)
def test_numbers_that_are_none_are_refused(said: dict[str, str]) -> None:
    with pytest.raises(Failure, match="is not an ONNX model") as caught:
        externals(in_the_graph(tensor(**said)).SerializeToString(), "m.onnx")
    assert caught.value.cause.startswith("a tensor's ")


def test_half_a_place_is_refused() -> None:
    whole = tensor()
    whole.data_location = TensorProto.DEFAULT
    nowhere = tensor()
    del nowhere.external_data[:]
    twice = tensor()
    twice.external_data.add(key="location", value="/etc/passwd")
    for made in (whole, nowhere, twice):
        with pytest.raises(Failure, match="is not an ONNX model"):
            externals(in_the_graph(made).SerializeToString(), "m.onnx")


def test_parts_that_a_reader_would_join_are_refused() -> None:
    """Protocol Buffers joins a message that stands twice: each half alone looks harmless."""
    first, second = TensorProto(name="w"), TensorProto(data_location=TensorProto.EXTERNAL)
    first.external_data.add(key="location", value="/etc/passwd")
    halves = [helper.make_attribute("value", half).SerializeToString() for half in (first, second)]
    node = onnx.NodeProto(op_type="Constant").SerializeToString()
    for half in halves:
        node += b"\x2a" + bytes([len(half)]) + half
    graph = b"\x0a" + bytes([len(node)]) + node
    with pytest.raises(Failure, match="is not an ONNX model"):
        externals(b"\x3a" + bytes([len(graph)]) + graph, "m.onnx")


def test_graphs_too_deep_in_each_other_are_refused() -> None:
    data = b""
    for _ in range(40):
        for tag in (b"\x32", b"\x2a", b"\x0a"):  # a graph in an attribute of a node of a graph
            size, length = len(data), b""
            while size >= 128:
                size, length = size >> 7, length + bytes([size & 127 | 128])
            data = tag + length + bytes([size]) + data
    with pytest.raises(Failure, match="is not an ONNX model") as caught:
        externals(b"\x3a" + bytes([len(data) & 127 | 128, len(data) >> 7]) + data, "m.onnx")
    assert "deep in each other" in caught.value.cause


@given(st.binary(max_size=200))
def test_any_bytes_end_in_an_answer(data: bytes) -> None:
    with suppress(Failure):  # nothing else may be raised
        assert isinstance(externals(data, "m.onnx"), list)


@given(st.data())
def test_a_cut_or_changed_model_never_hides_its_place(data: st.DataObject) -> None:
    """Whatever a flipped bit makes of it: either our reader refuses, or it sees what ONNX would open."""
    raw = bytearray(in_the_graph(tensor(offset=0, length=16)).SerializeToString())
    at = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[at // 8] ^= 1 << at % 8
    try:
        seen = {found.location for found in externals(bytes(raw), "m.onnx")}
        model = onnx.load_model_from_string(bytes(raw))
    except (Failure, DecodeError):
        return
    for found in model.graph.initializer:
        if found.data_location == TensorProto.EXTERNAL:
            assert {entry.value for entry in found.external_data if entry.key == "location"} <= seen


@pytest.mark.parametrize(
    ("location", "said"),
    [("../secret", "may leave the model's folder"), ("v.bin", "which is not there")],
)
def test_the_build_refuses_them(weights: Path, location: str, said: str) -> None:
    path = weights / "m.onnx"
    path.write_bytes(in_the_graph(tensor(location)).SerializeToString())
    with pytest.raises(Failure, match=said):
        taken.take(str(path), Features({"x": np.ones((1, 2))}, None))
