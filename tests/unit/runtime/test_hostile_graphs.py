"""Graphs of a hostile author, whole by every digest: no file is read that the index does not list."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from mlship_runtime.bundle.weights import read_weights
from mlship_runtime.errors import InvalidBundle
from mlship_runtime.model.session import Session

Make = Callable[[TensorProto], onnx.ModelProto]


def outside(location: str, **said: object) -> TensorProto:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2, 2])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, "offset": 0, "length": 16, **said}.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def model(nodes: list[onnx.NodeProto], tensors: list[TensorProto], **more: object) -> onnx.ModelProto:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 2]) for name in "xy")
    graph = helper.make_graph([*nodes, helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [x], [y], tensors)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, **more)


def as_weight(tensor: TensorProto) -> onnx.ModelProto:
    return model([], [tensor])


def as_constant(tensor: TensorProto) -> onnx.ModelProto:
    return model([helper.make_node("Constant", [], ["w"], value=tensor)], [])


def in_a_branch(tensor: TensorProto) -> onnx.ModelProto:
    value = helper.make_tensor_value_info("z", TensorProto.FLOAT, [2, 2])
    inner = helper.make_graph([helper.make_node("Identity", ["w"], ["z"])], "i", [], [value], [tensor])
    node = helper.make_node("If", ["c"], ["w"], then_branch=inner, else_branch=inner)
    return model([node], [helper.make_tensor("c", TensorProto.BOOL, [], [1])])


def in_a_function(tensor: TensorProto) -> onnx.ModelProto:
    nodes = [helper.make_node("Constant", [], ["w"], value=tensor)]
    function = helper.make_function("own", "F", [], ["w"], nodes, [helper.make_opsetid("", 18)])
    return model([helper.make_node("F", [], ["w"], domain="own")], [], functions=[function])


def beside_a_listed_one(tensor: TensorProto) -> onnx.ModelProto:
    made = as_constant(tensor)
    listed = outside("shards/a.bin")
    listed.name = "listed"
    made.graph.initializer.append(listed)
    return made


MAKES: dict[str, Make] = {
    "weight": as_weight,
    "constant": as_constant,
    "branch": in_a_branch,
    "function": in_a_function,
    "constant beside a listed weight": beside_a_listed_one,
}
LOCATIONS = {
    "beside": "near.bin",
    "above": "../secret.bin",
    "absolute": "/etc/hostname",
    "memory": "*/_ORT_MEM_ADDR_/*",  # onnxruntime's word for an address in its process
}


@pytest.fixture
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """One file that the index lists; others lie where the engine would find them."""
    numbers = np.arange(4, dtype="f4").tobytes()
    (tmp_path / "in").mkdir()
    for place in ("in/a.bin", "in/near.bin", "secret.bin"):
        (tmp_path / place).write_bytes(numbers)
    monkeypatch.chdir(tmp_path / "in")
    return {"shards/a.bin": str(tmp_path / "in" / "a.bin")}


@pytest.mark.parametrize("sharded", [False, True], ids=["one file", "shards"])
@pytest.mark.parametrize("location", LOCATIONS)
@pytest.mark.parametrize("make", MAKES)
def test_a_file_outside_of_the_index_is_not_read(
    listed: dict[str, str], make: str, location: str, sharded: bool
) -> None:
    data = MAKES[make](outside(LOCATIONS[location])).SerializeToString()
    with pytest.raises(InvalidBundle, match=r"cannot be loaded: the model (looks for|keeps more)"):
        Session(data, (), weights=listed if sharded else {})


@pytest.mark.parametrize("make", [as_weight])
def test_a_listed_file_is_read(listed: dict[str, str], make: Make) -> None:
    session = Session(make(outside("shards/a.bin")).SerializeToString(), (), weights=listed)
    assert session.run({"x": np.ones((1, 2), "f4")})[0].tolist() == [[2.0, 4.0]]


STRETCHES = {
    "beyond the file": {"offset": 8},
    "far beyond the file": {"offset": 2**62},
    "negative": {"offset": -16},
    "longer than the tensor": {"length": 17},
    "shorter than the tensor": {"length": 8},
    "negative length": {"length": -1},
    "no number": {"offset": "0x10"},
    "a number of a megabyte": {"offset": "9" * 1_000_000},
}


@pytest.mark.parametrize("stretch", STRETCHES)
def test_a_stretch_that_does_not_fit_is_refused(listed: dict[str, str], stretch: str) -> None:
    data = as_weight(outside("shards/a.bin", **STRETCHES[stretch])).SerializeToString()
    with pytest.raises(InvalidBundle, match="cannot be loaded"):
        Session(data, (), weights=listed)


def shaped(*dims: int) -> bytes:
    tensor = outside("shards/a.bin")
    del tensor.dims[:]
    tensor.dims.extend(dims)
    return as_weight(tensor).SerializeToString()


SHAPES = {
    "overflows 64 bits": (2**62, 2**62, 2**62),
    "negative": (-2, -2),
    "a hundred dimensions": (1,) * 100,
    "a hundred thousand dimensions": (2**62,) * 100_000,
    "four exabytes": (2**60,),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_beyond_all_measure_are_refused_at_once(listed: dict[str, str], shape: str) -> None:
    start = time.process_time()
    with pytest.raises(InvalidBundle, match="cannot be loaded"):
        Session(shaped(*SHAPES[shape]), (), weights=listed)
    assert time.process_time() - start < 5


HEADERS = {
    "a graph of two gigabytes": b"\x3a\xff\xff\xff\xff\x07",
    "a graph of sixteen exabytes": b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    "a weight of two gigabytes": b"\x3a\x06\x2a\xff\xff\xff\xff\x07",
    "two graphs": b"\x3a\x00\x3a\x00",
    "no graph": b"\x08\x08",
    "a number without end": b"\x08" + b"\xff" * 20,
    "a group": b"\x3a\x01\x0b",
    "nothing": b"",
}


@pytest.mark.parametrize("header", HEADERS)
def test_headers_that_lie_are_refused_without_reading_on(header: str) -> None:
    with pytest.raises(InvalidBundle, match="not an ONNX model"):
        read_weights(HEADERS[header])
    with pytest.raises(InvalidBundle, match="cannot be loaded"):
        Session(HEADERS[header], ())
