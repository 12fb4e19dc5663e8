"""diff on small bundles that were not built: what moved, what changed, and how it is shown."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from sample_bundle import GOLDEN, make_bundle, make_layers, make_spec, write_bundle

from mlship.bundle.archive import write_layer
from mlship.registry import open_registry
from mlship_runtime.bundle import canonical

TOML = '[project]\nname = "churn"\nversion = "1.0"\n[model]\nsource = "m"\n[registries.team]\nurl = "dir://./team"\n'


def graph(second: float, *, external: bool = False) -> bytes:
    fixed = numpy_helper.from_array(np.ones(2, "f4"), "fixed")
    moving = numpy_helper.from_array(np.array([1, second], "f4"), "moving")
    if external:
        for at, tensor in enumerate((fixed, moving)):
            tensor.ClearField("raw_data")
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in (("location", "w.bin"), ("offset", str(at * 8)), ("length", "8")):
                tensor.external_data.add(key=key, value=value)
    made = helper.make_graph(
        [helper.make_node("Add", ["fixed", "moving"], ["y"])], "g", [], [], [fixed, moving]
    )
    made_model: onnx.ModelProto = helper.make_model(made)
    return made_model.SerializeToString()


@pytest.fixture
def registry(tmp_path: Path):
    (tmp_path / "mlship.toml").write_text(TOML)
    return open_registry(f"dir://{tmp_path}/.mlship/store")


@pytest.fixture
def two(registry, run):
    """churn:1.0 and churn:1.1, another model; the second in the registry `team`."""
    for version, second in (("1.0", 2.0), ("1.1", 3.0)):
        digest = make_bundle(registry, version=version, model=graph(second))
        registry.set_tag("churn", version, digest, None)
    run("push", "churn:1.1", "team")
    return registry


def test_another_model(two, run) -> None:
    result = run("diff", "churn:1.0", "team/churn:1.1", "--json").envelope["result"]
    assert not result["equal"]
    states = {layer["title"]: layer["state"] for layer in result["layers"]}
    assert [title for title, state in states.items() if state != "same"] == ["model.tar", "mlship.json"]
    assert result["about"] == [{"what": "version", "before": "1.0", "after": "1.1"}]
    assert result["weights"]["changed"] == ["moving"]
    assert result["weights"]["same"] == 1
    assert (result["schema"], result["packages"]) == ([], [])
    assert result["golden"]["compared"] == 2
    moved = sum(layer["size"] for layer in result["layers"] if layer["state"] != "same")
    pushed = run("push", "churn:1.0", "team", "--json").envelope["result"]
    assert moved < result["bytesToMove"] == pushed["sentBytes"]


def test_what_it_looks_like(two, run) -> None:
    ended = run("diff", "churn:1.0", "churn:1.1")
    assert (ended.code, ended.err) == (0, "")
    assert "golden   the same answers to 2 rows" in ended.out
    assert "weights  1 changed, 0 added, 0 removed, 1 the same" in ended.out
    assert "  changed  model  model.tar" in ended.out
    assert "  changed  moving" in ended.out


def test_the_same_bundle(two, run) -> None:
    ended = run("diff", "churn:1.1", "team/churn:1.1", "--detailed-exitcode")
    assert (ended.code, ended.out[:42]) == (0, "churn:1.1 and churn:1.1 are the same bundl")
    result = run("diff", "churn:1.1", "team/churn:1.1", "--json").envelope["result"]
    assert (result["equal"], result["bytesToMove"]) == (True, 0)
    assert {layer["state"] for layer in result["layers"]} == {"same"}


def test_differences_end_with_3_if_asked(two, run) -> None:
    assert run("diff", "churn:1.0", "churn:1.1", "--detailed-exitcode").code == 3


def test_without_b_it_is_the_last_build(two, run, tmp_path: Path) -> None:
    digest = two.read_tag("churn", "1.1").digest
    (tmp_path / ".mlship" / "built.json").write_text(
        json.dumps({"schemaVersion": 1, "reference": "churn:1.1", "digest": digest})
    )
    result = run("diff", "churn:1.0", "--json").envelope["result"]
    assert (result["before"]["reference"], result["after"]["reference"]) == ("churn:1.0", "churn:1.1")


def written(registry, tmp_path: Path, version: str, *, files: dict[str, bytes], golden, change=None) -> None:
    """A bundle with these files in its model layer, and this golden document."""
    folder = tmp_path / version
    folder.mkdir()
    layers = make_layers(folder)
    layers[0] = write_layer(folder / "model.tar", "model", files.items())
    data = canonical.encode(golden)
    layers[-1] = write_layer(folder / "golden.tar", "golden", [("golden/golden.json", data)])
    document = make_spec(layers, version=version)
    if change:
        change(document)
    registry.set_tag("churn", version, write_bundle(registry, layers, document), None)


def test_golden_schema_packages_and_weights_in_other_files(registry, run, tmp_path: Path) -> None:
    old, new = copy.deepcopy(GOLDEN), copy.deepcopy(GOLDEN)
    for golden, score in ((old, [0.5, 0.25]), (new, [0.5, 0.75])):
        golden["outputs"].append({"name": "score", "datatype": "FP64", "shape": [2, 1], "data": score})
    new["outputs"][0]["data"] = [1, 1]
    ones, twos = (np.array([1, 1, 1, last], "f4").tobytes() for last in (2.0, 3.0))
    model = graph(0.0, external=True)

    def change(document) -> None:
        document["schema"]["inputs"][0]["datatype"] = "FP32"
        document["runtime"]["platforms"] = {
            name: {"requirements": [{**part["requirements"][0], "version": "2.5.0"}], "trim": 1}
            for name, part in document["runtime"]["platforms"].items()
        }

    written(registry, tmp_path, "2.0", files={"model/model.onnx": model, "model/w.bin": ones}, golden=old)
    written(
        registry,
        tmp_path,
        "2.1",
        files={"model/model.onnx": model, "model/w.bin": twos},
        golden=new,
        change=change,
    )
    result = run("diff", "churn:2.0", "churn:2.1", "--json").envelope["result"]
    assert result["weights"]["changed"] == ["moving"]
    assert result["weights"]["same"] == 1
    assert result["golden"] == {
        "compared": 2, "added": 0, "removed": 0, "changed": 1, "decisions": 1, "largest": 0.5,
    }  # fmt: skip
    assert result["schema"] == [
        {"what": "input age", "before": "FP64 [-1], may be missing", "after": "FP32 [-1], may be missing"}
    ]
    assert [change["after"] for change in result["packages"]] == ["2.5.0 000000000000"]
    shown = run("diff", "churn:2.0", "churn:2.1").out
    assert "golden   1 of 2 answers changed, 1 of them decided otherwise, by 0.5 at most" in shown


def test_a_graph_that_cannot_be_read_is_said(registry, run) -> None:
    for version, model in (("1.0", b"a model"), ("1.1", b"another")):
        registry.set_tag("churn", version, make_bundle(registry, version=version, model=model), None)
    ended = run("diff", "churn:1.0", "churn:1.1")
    assert ended.code == 0
    assert "weights  not compared: " in ended.out


def test_an_unknown_bundle_ends_with_5(two, run) -> None:
    assert run("diff", "churn:9", "churn:1.1").code == 5
