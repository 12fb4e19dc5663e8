"""export --format: what other tools get of a bundle, and what they cannot have."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from sample_bundle import LINUX, make_bundle, make_layers, make_spec, write_bundle

from mlship.bundle.archive import write_layer
from mlship.registry import open_registry

TOML = '[project]\nname = "churn"\nversion = "1.0"\n[model]\nsource = "m"\n'
WHEELS = {"numpy-2.4.6-cp311-cp311-linux_x86_64.whl": b"numpy", "onnxruntime-1.31.1-cp311.whl": b"engine"}


def graph() -> bytes:
    weights = numpy_helper.from_array(np.array([[1.0], [2.0]], "f4"), "w")
    made = helper.make_graph(
        [helper.make_node("MatMul", ["X", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])],
        [weights],
    )
    model: onnx.ModelProto = helper.make_model(
        made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    return model.SerializeToString()


def reducing() -> bytes:
    """age [N], weight [N] -> X [N, 2]: both, halved; the weight is called like one of the model."""
    half = numpy_helper.from_array(np.array([[0.5, 0.5]], "f4"), "w")
    made = helper.make_graph(
        [
            helper.make_node("Flatten", ["age"], ["one"]),
            helper.make_node("Flatten", ["y"], ["two"]),
            helper.make_node("Concat", ["one", "two"], ["both"], axis=1),
            helper.make_node("Mul", ["both", "w"], ["X"]),
        ],
        "r",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None]) for name in ("age", "y")],
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, 2])],
        [half],
    )
    model: onnx.ModelProto = helper.make_model(
        made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    return model.SerializeToString()


def written(
    tmp_path: Path, *, more: dict[str, bytes] | None = None, wheel: str = "", apart: str | None = None
) -> None:
    """churn:1.0 in the project's store: with wheels, and without a reduction or (if `apart` says why it is
    not fused, or is empty) with a graph."""
    (tmp_path / "mlship.toml").write_text(TOML)
    layers = [layer for layer in make_layers(tmp_path) if layer.role != "reduction"]
    if apart is not None:
        graph_layer = [("reduction/reduction.onnx", reducing())]
        layers.insert(1, write_layer(tmp_path / "reduction.tar", "reduction", graph_layer))
    files = {"model/model.onnx": graph(), **(more or {})}
    layers[0] = write_layer(tmp_path / "model.tar", "model", files.items())
    document = make_spec(layers)
    document["reduction"] = None
    document["assemble"] = {"X": ["age", "weight"]}
    if apart is not None:
        document["assemble"] = {"X": ["X"]}
        document["schema"]["reduced"] = [
            {"name": "X", "datatype": "FP32", "shape": [-1, 2], "nullable": False}
        ]
        document["reduction"] = {
            "kind": "onnx", "path": "reduction/reduction.onnx", "opset": 17, "converter": {}, "steps": [],
            "assemble": {"age": ["age"], "y": ["weight"]}, "fused": not apart,
            **({"apart": apart} if apart else {}),
        }  # fmt: skip
    document["model"]["converter"]["onnx"] = "1.23.2"
    document["runtime"]["platforms"][LINUX]["requirements"] = [
        {
            "name": name.split("-")[0],
            "version": name.split("-")[1],
            "file": wheel or name,
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        for name, data in WHEELS.items()
    ]
    registry = open_registry(f"dir://{tmp_path}/.mlship/store")
    registry.set_tag("churn", "1.0", write_bundle(registry, layers, document), None)


@pytest.fixture
def cached(own_cache: Path) -> Path:
    """The wheels, in the cache as a build leaves them."""
    folder = own_cache / "wheels"
    folder.mkdir(parents=True)
    for data in WHEELS.values():
        (folder / hashlib.sha256(data).hexdigest()).write_bytes(data)
    return folder


def test_onnx_is_the_model(run, tmp_path: Path) -> None:
    written(tmp_path)
    ended = run("export", "churn:1.0", "model.onnx", "--format", "onnx")
    assert (ended.code, ended.out.splitlines()[0]) == (0, "churn:1.0 is in model.onnx")
    assert (tmp_path / "model.onnx").read_bytes() == graph()


def test_mlflow_has_the_flavor_and_a_signature_and_no_pickle(run, tmp_path: Path) -> None:
    written(tmp_path, more={"model/weights.bin": b"123"})
    result = run("export", "churn:1.0", "out", "--format", "mlflow", "--json").envelope["result"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "MLmodel", "conda.yaml", "model.onnx", "python_env.yaml", "requirements.txt", "weights.bin",
    }  # fmt: skip
    assert result["size"] == sum(path.stat().st_size for path in (tmp_path / "out").iterdir())
    model = json.loads((tmp_path / "out" / "MLmodel").read_text())
    assert model["flavors"]["onnx"] == {
        "code": None,
        "data": "model.onnx",
        "onnx_session_options": None,
        "onnx_version": "1.23.2",
        "providers": ["CPUExecutionProvider"],
    }
    assert model["flavors"]["python_function"] == {
        "data": "model.onnx",
        "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
        "loader_module": "mlflow.onnx",
        "python_version": "3.11",
    }
    assert model["metadata"]["mlship"]["digest"] == result["digest"]
    assert model["metadata"]["mlship"]["columns"] == {"X": ["age", "weight"]}
    (given,) = json.loads(model["signature"]["inputs"])
    assert given == {
        "type": "tensor", "name": "X", "tensor-spec": {"dtype": "float32", "shape": [-1, 2]},
    }  # fmt: skip
    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx")
    rows = np.ones((3, 2), given["tensor-spec"]["dtype"])
    (answers,) = session.run(None, {given["name"]: rows})
    (returned,) = json.loads(model["signature"]["outputs"])
    assert (returned["name"], returned["tensor-spec"]) == (
        "y",
        {"dtype": str(answers.dtype), "shape": [-1, 1]},
    )
    pins = (tmp_path / "out" / "requirements.txt").read_text().splitlines()
    assert pins == ["onnx==1.23.2", "numpy==2.4.6", "onnxruntime==1.31.1"]


def test_a_graph_that_reduces_is_in_the_file(run, tmp_path: Path) -> None:
    written(tmp_path, apart="")
    assert run("export", "churn:1.0", "model.onnx", "--format", "onnx").code == 0
    onnx.checker.check_model(onnx.load_model(tmp_path / "model.onnx"), full_check=True)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    feed = {"age": np.array([2, 4], "f4"), "reduction/y": np.array([6, 8], "f4")}
    assert session.run(["y"], feed)[0].tolist() == [[7.0], [10.0]]
    assert run("export", "churn:1.0", "out", "--format", "mlflow").code == 0
    assert (tmp_path / "out" / "model.onnx").read_bytes() == (tmp_path / "model.onnx").read_bytes()
    model = json.loads((tmp_path / "out" / "MLmodel").read_text())
    assert model["metadata"]["mlship"]["columns"] == {"age": ["age"], "reduction/y": ["weight"]}
    assert [given["name"] for given in json.loads(model["signature"]["inputs"])] == ["age", "reduction/y"]
    assert "reduced by an ONNX graph, in one session with the model" in run("inspect", "churn:1.0").out


@pytest.mark.parametrize("form", ["onnx", "mlflow"])
def test_graphs_that_stay_apart_are_no_file(run, tmp_path: Path, form: str) -> None:
    why = "the reduction has opset 17, the model 18"
    written(tmp_path, apart=why)
    ended = run("export", "churn:1.0", "out", "--format", form)
    assert ended.code == 2
    assert f"are two graphs that do not go into one: {why}. Export the whole bundle" in ended.err
    assert not (tmp_path / "out").exists()
    assert f"reduced by an ONNX graph, in a session of its own: {why}" in run("inspect", "churn:1.0").out
    inspected = run("inspect", "churn:1.0", "--json").envelope["result"]
    assert [inspected[key] for key in ("reduction", "fused", "apart")] == ["an ONNX graph", False, why]


def carded(tmp_path: Path) -> None:
    """churn:1.0 with a card."""
    (tmp_path / "mlship.toml").write_text(TOML)
    files = {"card/sbom.cdx.json": b'{"bomFormat":"CycloneDX"}', "card/card.md": b"# Churn\n"}
    layers = [*make_layers(tmp_path), write_layer(tmp_path / "card.tar", "card", files.items())]
    registry = open_registry(f"dir://{tmp_path}/.mlship/store")
    registry.set_tag("churn", "1.0", write_bundle(registry, layers, make_spec(layers)), None)


def test_the_card_is_shown_and_written(run, tmp_path: Path) -> None:
    carded(tmp_path)
    assert run("verify", "churn:1.0").out.startswith("churn:1.0 is whole: 9 files")
    inspected = run("inspect", "churn:1.0", "--json").envelope["result"]
    assert inspected["card"] == ["card/card.md", "card/sbom.cdx.json"]
    assert [layer["role"] for layer in inspected["layers"]][-2:] == ["card", "spec"]
    assert (
        "\ncard      card.md, sbom.cdx.json; mlship export writes them\n" in run("inspect", "churn:1.0").out
    )
    for form, data in (("sbom", b'{"bomFormat":"CycloneDX"}'), ("card", b"# Churn\n")):
        ended = run("export", "churn:1.0", f"out.{form}", "--format", form, "--json")
        assert ended.envelope["result"]["size"] == len(data)
        assert (tmp_path / f"out.{form}").read_bytes() == data


def test_a_bundle_without_a_card_has_none_to_show(run, tmp_path: Path) -> None:
    written(tmp_path)
    assert run("inspect", "churn:1.0", "--json").envelope["result"]["card"] == []
    assert "\ncard " not in run("inspect", "churn:1.0").out


def test_a_wheelhouse_has_the_locked_wheels(cached: Path, run, tmp_path: Path) -> None:
    written(tmp_path)
    ended = run("export", "churn:1.0", "wheels", "--format", "wheelhouse", "--platform", "linux/amd64")
    assert (ended.code, ended.out.splitlines()[-1]) == (0, f"runs on  {LINUX}")
    found = {path.name: path.read_bytes() for path in (tmp_path / "wheels").iterdir()}
    lines = found.pop("requirements.txt").decode().splitlines()
    assert found == WHEELS
    assert lines[0] == f"numpy==2.4.6 --hash=sha256:{hashlib.sha256(b'numpy').hexdigest()}"


@pytest.mark.parametrize("form", ["onnx", "mlflow"])
def test_a_reduction_in_python_cannot_be_left_behind(run, tmp_path: Path, form: str) -> None:
    (tmp_path / "mlship.toml").write_text(TOML)
    registry = open_registry(f"dir://{tmp_path}/.mlship/store")
    registry.set_tag("churn", "1.0", make_bundle(registry, model=graph()), None)
    ended = run("export", "churn:1.0", "out", "--format", form)
    assert ended.code == 2
    assert "churn:1.0 reduces its inputs in Python (reduce:reduce): its ONNX model alone" in ended.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            "--format zip",
            "there is no format 'zip'. Formats are bundle, onnx, mlflow, wheelhouse, sbom, card",
        ),
        ("--format sbom", "churn:1.0 has no bill of materials. Build it again"),
        ("--format card", "churn:1.0 has no model card. Name a file and build again: [bundle] card"),
        ("--format sbom --platform linux/amd64", "this format is the same for every platform"),
        ("--format onnx --platform linux/amd64", "this format is the same for every platform"),
        ("--format wheelhouse", "a wheelhouse is for one platform. Add --platform linux-"),
        ("--format wheelhouse --platform linux/arm64", "the bundle has no platform 'linux/arm64'"),
    ],
)
def test_what_cannot_be_exported_so_is_said(run, tmp_path: Path, words: str, said: str) -> None:
    written(tmp_path)
    ended = run("export", "churn:1.0", "out", *words.split())
    assert ended.code == 2
    assert said in ended.err
    assert not (tmp_path / "out").exists()


def test_a_model_in_two_files_is_no_onnx_file(run, tmp_path: Path) -> None:
    written(tmp_path, more={"model/weights.bin": b"123"})
    ended = run("export", "churn:1.0", "model.onnx", "--format", "onnx")
    assert (ended.code, "is in 2 files. Use --format mlflow, a folder" in ended.err) == (2, True)


def test_a_folder_with_something_in_it_is_left_alone(run, tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    ended = run("export", "churn:1.0", "out", "--format", "mlflow")
    assert (ended.code, "out is there already" in ended.err) == (2, True)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]


@pytest.mark.parametrize("name", ["../../etc/x.whl", "a/b.whl", "/x.whl", ".whl", "x.whl\n.whl", "x.exe"])
def test_a_wheel_with_another_name_is_refused(cached: Path, run, tmp_path: Path, name: str) -> None:
    written(tmp_path, wheel=name)
    ended = run("export", "churn:1.0", "out", "--format", "wheelhouse", "--platform", LINUX)
    assert (ended.code, "that is no wheel's file name" in ended.err) == (4, True)
    assert not (tmp_path / "out").exists()


def test_a_damaged_wheel_of_the_cache_is_not_passed_on(cached: Path, run, tmp_path: Path) -> None:
    written(tmp_path)
    (cached / hashlib.sha256(b"numpy").hexdigest()).write_bytes(b"other")
    ended = run("export", "churn:1.0", "out", "--format", "wheelhouse", "--platform", LINUX)
    assert (ended.code, "in the cache is damaged" in ended.err) == (4, True)
    assert not (tmp_path / "out").exists()
