"""Weights in other files: only plain stretches of plain files beside the model are taken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mlship.bundle.children.failure import Failure
from mlship.bundle.children.outside import find

Place = dict[str, str]


def outside(name: str, place: Place, dims: tuple[int, ...] = (4, 4)) -> TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=dims)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in place.items():
        tensor.external_data.add(key=key, value=value)
    return tensor


def model(tensors: list[TensorProto], nodes: list[onnx.NodeProto] | None = None) -> onnx.ModelProto:
    nodes = nodes or [helper.make_node("Identity", ["w"], ["y"])]
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    return helper.make_model(helper.make_graph(nodes, "g", [], [out], tensors))


@pytest.fixture
def refused(tmp_path: Path) -> Callable[..., str]:
    """`refused(model)`: with 128 bytes in w.bin beside it, the reason why it is not taken."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "w.bin").write_bytes(bytes(128))
    (tmp_path / "secret.bin").write_bytes(bytes(128))

    def run(made: onnx.ModelProto) -> str:
        with pytest.raises(Failure) as caught:
            find(folder / "m.onnx", save(folder, made))
        return f"{caught.value.what}: {caught.value.cause}"

    return run


def save(folder: Path, made: onnx.ModelProto) -> bytes:
    data = made.SerializeToString()
    (folder / "m.onnx").write_bytes(data)
    return data


def test_places_out_of_the_folder(refused) -> None:
    assert "may leave the model's folder" in refused(model([outside("w", {"location": "../secret.bin"})]))


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ({"offset": "65"}, "would end at byte 129"),
        ({"offset": "999999999999999999"}, "at byte"),
        ({"length": "63"}, "shape asks for 64"),
        ({"length": "128"}, "shape asks for 64"),
        ({"basepath": "/etc"}, "it says 'basepath'"),
        ({"__class__": "x"}, "it says '__class__'"),
    ],
)
def test_stretches_that_do_not_fit(refused, place: Place, why: str) -> None:
    assert why in refused(model([outside("w", {"location": "w.bin", **place})]))


def test_shapes_that_overflow(refused) -> None:
    assert "shape asks for" in refused(
        model([outside("w", {"location": "w.bin", "length": "64"}, (2**31, 2**31, 2**31))])
    )


def test_stretches_that_overlap(refused) -> None:
    both = [outside("w", {"location": "w.bin"}), outside("v", {"location": "w.bin", "offset": "60"})]
    assert "share bytes of w.bin" in refused(model(both))
    bomb = [outside(f"w{number}", {"location": "w.bin"}) for number in range(50)]
    assert "share bytes" in refused(model(bomb))


def test_two_weights_of_one_name(refused) -> None:
    both = [outside("w", {"location": "w.bin"}), outside("w", {"location": "w.bin", "offset": "64"})]
    assert "more in other files" in refused(model(both))


def test_texts_outside(refused) -> None:
    tensor = outside("w", {"location": "w.bin", "length": "64"})
    tensor.data_type = TensorProto.STRING
    assert "shape asks for 0" in refused(model([tensor]))


def test_constants_of_nodes_outside(refused) -> None:
    hidden = outside("hidden", {"location": "w.bin"})
    constant = helper.make_node("Constant", [], ["y"], value=hidden)
    assert "more in other files" in refused(model([], [constant]))
    inner = helper.make_graph([constant], "inner", [], [helper.make_tensor_value_info("y", 1, None)])
    branch = helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)
    assert "more in other files" in refused(model([], [branch]))
    kept = helper.make_graph([], "kept", [], [helper.make_tensor_value_info("hidden", 1, None)], [hidden])
    branch = helper.make_node("If", ["c"], ["y"], then_branch=kept, else_branch=kept)
    assert "more in other files" in refused(model([], [branch]))
    made = model([outside("w", {"location": "w.bin"})])
    made.functions.add(name="f", domain="d", node=[constant])
    assert "more in other files" in refused(made)


@pytest.mark.parametrize(
    "data", [b"", b"\xff" * 20, b"\x3a\xff\xff\xff\xff\x0f", b"\x3a\x05", b"\x3a\x00\x3a\x00", b"\x0b"]
)
def test_bytes_that_are_no_model(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(Failure, match="is not an ONNX model"):
        find(tmp_path / "m.onnx", data)


def test_what_onnx_writes_is_taken(tmp_path: Path) -> None:
    made = model([numpy_helper.from_array(np.ones((4, 4), "f4"), "w")])
    (tmp_path / "sub").mkdir()
    onnx.save_model(
        made, tmp_path / "m.onnx", save_as_external_data=True, location="sub/w.bin", size_threshold=0
    )
    found = find(tmp_path / "m.onnx", (tmp_path / "m.onnx").read_bytes())
    assert found == {"w": (tmp_path / "sub" / "w.bin", 0, 64)}
