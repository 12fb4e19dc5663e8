"""Weights in other files: only plain stretches of plain files beside the model are taken."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mlship.bundle.children.external_data import check
from mlship.bundle.children.failure import Failure

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
            check(folder / "m.onnx", save(folder, made))
        return f"{caught.value.what}: {caught.value.cause}"

    return run


def save(folder: Path, made: onnx.ModelProto) -> bytes:
    data = made.SerializeToString()
    (folder / "m.onnx").write_bytes(data)
    return data


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("/etc/passwd", "not a path beside"),
        ("../secret.bin", "leads out"),
        ("a/../../secret.bin", "leads out"),
        ("./../secret.bin", "leads out"),
        ("..", "leads out"),
        ("a//w.bin", "leads out"),
        ("..\\secret.bin", "not a path beside"),
        ("C:secret.bin", "not a path beside"),
        ("w.bin\0.txt", "not a path beside"),
        ("nothing.bin", "No such file"),
        ("w.bin/x", "Not a directory"),
        (".", "not a regular file"),
        ("", "not in order"),
    ],
)
def test_places_out_of_the_folder(refused, location: str, why: str) -> None:
    assert why in refused(model([outside("w", {"location": location})]))


@pytest.mark.parametrize("kind", ["symlink", "folder symlink", "hard link", "folder", "pipe"])
def test_what_is_no_plain_file(refused, tmp_path: Path, kind: str) -> None:
    place, location = tmp_path / "project" / "x.bin", "x.bin"
    if kind == "symlink":
        place.symlink_to("w.bin")
    elif kind == "folder symlink":
        place.symlink_to(tmp_path)
        location = "x.bin/secret.bin"
    elif kind == "hard link":
        os.link(tmp_path / "secret.bin", place)
    elif kind == "folder":
        place.mkdir()
    else:
        os.mkfifo(place)
    why = refused(model([outside("w", {"location": location})]))
    expected = {"folder": "regular file", "pipe": "regular file", "hard link": "further names"}
    assert expected.get(kind, "is a link") in why


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ({"offset": "65"}, "would end at byte 129"),
        ({"offset": "9223372036854775807"}, "would end at byte"),
        ({"offset": "-64"}, "not a whole number"),
        ({"offset": "0x10"}, "not a whole number"),
        ({"offset": "¹"}, "not a whole number"),
        ({"offset": "9" * 40}, "not a whole number"),
        ({"length": "63"}, "shape asks for 64"),
        ({"length": "128"}, "shape asks for 64"),
        ({"length": ""}, "not a whole number"),
        ({"basepath": "/etc"}, "not in order"),
        ({"__class__": "x"}, "not in order"),
    ],
)
def test_stretches_that_do_not_fit(refused, place: Place, why: str) -> None:
    assert why in refused(model([outside("w", {"location": "w.bin", **place})]))


def test_a_key_that_stands_twice(refused) -> None:
    tensor = outside("w", {"location": "w.bin"})
    tensor.external_data.add(key="location", value="w.bin")
    assert "not in order" in refused(model([tensor]))


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
    assert "two weights of one name" in refused(model(both))


def test_texts_outside(refused) -> None:
    tensor = outside("w", {"location": "w.bin", "length": "64"})
    tensor.data_type = TensorProto.STRING
    assert "shape asks for 0" in refused(model([tensor]))


def test_constants_of_nodes_outside(refused) -> None:
    hidden = outside("hidden", {"location": "w.bin"})
    constant = helper.make_node("Constant", [], ["y"], value=hidden)
    assert "constant of a node" in refused(model([], [constant]))
    inner = helper.make_graph([constant], "inner", [], [helper.make_tensor_value_info("y", 1, None)])
    branch = helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)
    assert "constant of a node" in refused(model([], [branch]))
    kept = helper.make_graph([], "kept", [], [helper.make_tensor_value_info("hidden", 1, None)], [hidden])
    branch = helper.make_node("If", ["c"], ["y"], then_branch=kept, else_branch=kept)
    assert "constant of a node" in refused(model([], [branch]))
    made = model([outside("w", {"location": "w.bin"})])
    made.functions.add(name="f", domain="d", node=[constant])
    assert "constant of a node" in refused(made)


@pytest.mark.parametrize(
    "data", [b"", b"\xff" * 20, b"\x3a\xff\xff\xff\xff\x0f", b"\x3a\x05", b"\x3a\x00\x3a\x00", b"\x0b"]
)
def test_bytes_that_are_no_model(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(Failure, match="is not an ONNX model"):
        check(tmp_path / "m.onnx", data)


def test_what_onnx_writes_is_taken(tmp_path: Path) -> None:
    made = model([numpy_helper.from_array(np.ones((4, 4), "f4"), "w")])
    (tmp_path / "sub").mkdir()
    onnx.save_model(
        made, tmp_path / "m.onnx", save_as_external_data=True, location="sub/w.bin", size_threshold=0
    )
    found = check(tmp_path / "m.onnx", (tmp_path / "m.onnx").read_bytes())
    assert found == {"w": (tmp_path / "sub" / "w.bin", 0, 64)}
