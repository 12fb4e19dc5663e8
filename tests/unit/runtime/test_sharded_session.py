"""A graph whose weights lie elsewhere: each file where it was verified, and none that was not named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from mlship_runtime.bundle.weights import read_weights, relocated, with_places
from mlship_runtime.errors import InvalidBundle
from mlship_runtime.model.session import Session

ONE, TWO = np.full((64, 64), 2, "f4"), np.full((64, 64), 3, "f4")


@pytest.fixture
def graph() -> bytes:
    """y = x @ one @ two, its weights in shards/a.bin and shards/b.bin."""
    nodes = [
        helper.make_node("MatMul", ["x", "one"], ["h"]),
        helper.make_node("MatMul", ["h", "two"], ["y"]),
    ]
    shape = [None, 64]
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(ONE, "one"), numpy_helper.from_array(TWO, "two")],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    size = ONE.nbytes
    return with_places(
        model.SerializeToString(), {"one": ("shards/a.bin", 4096, size), "two": ("shards/b.bin", 0, size)}
    )


@pytest.mark.parametrize("apart", [True, False])
def test_files_in_folders_of_their_own_and_in_one(tmp_path: Path, graph: bytes, apart: bool) -> None:
    places = {
        "shards/a.bin": tmp_path / ("111" if apart else "all") / "model/shards/a.bin",
        "shards/b.bin": tmp_path / ("2" if apart else "all") / "model/shards/b.bin",
    }
    for path in places.values():
        path.parent.mkdir(parents=True, exist_ok=True)
    places["shards/a.bin"].write_bytes(bytes(4096) + ONE.tobytes())
    places["shards/b.bin"].write_bytes(TWO.tobytes())
    session = Session(graph, [], weights={name: str(path) for name, path in places.items()})
    (answer,) = session.run({"x": np.ones((1, 64), "f4")})
    assert np.allclose(answer, 64 * 2 * 64 * 3)


def test_a_file_that_was_not_named_is_not_opened(
    tmp_path: Path, graph: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shards").mkdir()
    for name in "ab":
        (tmp_path / "shards" / f"{name}.bin").write_bytes(bytes(4096) + ONE.tobytes())
    monkeypatch.chdir(tmp_path)
    for weights in ({}, {"shards/a.bin": str(tmp_path / "shards" / "a.bin")}):
        with pytest.raises(InvalidBundle, match="looks for weights outside of the bundle"):
            Session(graph, [], weights=weights)


def test_a_file_that_is_too_short_is_refused(tmp_path: Path, graph: bytes) -> None:
    for name in "ab":
        (tmp_path / name).write_bytes(bytes(100))
    with pytest.raises(InvalidBundle, match="cannot be loaded"):
        Session(graph, [], weights={f"shards/{name}.bin": str(tmp_path / name) for name in "ab"})


def test_all_but_the_location_stays(graph: bytes) -> None:
    long = "x" * 300
    there = relocated(graph, {"shards/a.bin": long, "shards/b.bin": "b"})
    assert [dict(w.outside or ())["location"] for w in read_weights(there)] == [long, "b"]
    assert relocated(there, {long: "shards/a.bin", "b": "shards/b.bin"}) == graph


def test_a_graph_without_weights_elsewhere_is_the_same_bytes() -> None:
    made = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [], [])
    data = helper.make_model(made).SerializeToString()
    assert relocated(data, {}) is data
