"""The spec's reader, and its agreement with the manifest."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_bundle import LINUX, make_layers, make_spec

from mlship.bundle.archive import Layer
from mlship.bundle.manifest import build_config, build_manifest, spec_descriptor
from mlship_runtime.bundle import canonical
from mlship_runtime.bundle.agreement import check_agreement
from mlship_runtime.bundle.manifest import read_manifest
from mlship_runtime.bundle.spec import Seen, TensorSpec, read_spec
from mlship_runtime.errors import InvalidBundle

Json = Any


@pytest.fixture(scope="module")
def layers(tmp_path_factory: pytest.TempPathFactory) -> list[Layer]:
    return make_layers(tmp_path_factory.mktemp("layers"))


def test_fields(layers: list[Layer]) -> None:
    document = make_spec(layers)
    spec = read_spec(canonical.encode(document))
    assert (spec.name, spec.version, spec.engine) == ("churn", "1.0", "onnx")
    assert spec.labels == {"team": "risk"}
    assert spec.inputs == (TensorSpec("age", "FP64", (-1,), True),)
    assert spec.outputs == (TensorSpec("label", "INT64", (-1, 1), False),)
    assert spec.assemble == {"X": ("age",)}
    assert spec.tolerance == {"score": {"abs": 1e-6, "rel": 1e-5}}
    assert spec.reduction is not None
    assert spec.reduction["module"] == "reduce"
    assert spec.files[layers[0].digest] == layers[0].entries
    assert spec.document == document
    assert spec.runtime["platforms"][LINUX]["trim"] == 1


def test_classes_name_the_columns_of_an_output(layers: list[Layer]) -> None:
    document = make_spec(layers)
    chances = {"name": "p", "datatype": "FP32", "shape": [-1, 2], "nullable": False, "classes": ["no", "yes"]}
    document["schema"]["outputs"].append(chances)
    label, found = read_spec(canonical.encode(document)).outputs
    assert (label.classes, found.classes) == ((), ("no", "yes"))


def test_what_was_seen_in_the_examples(layers: list[Layer]) -> None:
    document = make_spec(layers)
    document["schema"]["inputs"][0]["seen"] = {"min": 18, "max": 80.5}
    document["schema"]["outputs"][0]["seen"] = {"values": ["no", 1, True]}
    spec = read_spec(canonical.encode(document))
    assert spec.inputs[0].seen == Seen((), 18, 80.5)
    assert spec.outputs[0].seen == Seen(("no", 1, True))
    assert spec.reduced[0].seen is None


def test_without_reduction(layers: list[Layer]) -> None:
    assert read_spec(canonical.encode({**make_spec(layers), "reduction": None})).reduction is None


def test_unknown_fields_are_let_be(layers: list[Layer]) -> None:
    assert read_spec(canonical.encode({**make_spec(layers), "later": 1})).document["later"] == 1


def one_file(*row: Json) -> Callable[[Json], object]:
    return lambda d: d["files"].update({next(iter(d["files"])): [list(row)]})


def graph(document: Json, **more: Json) -> None:
    """Make the reduction an ONNX graph."""
    path = "reduction/reduction.onnx"
    document["reduction"] = {"kind": "onnx", "path": path, "assemble": {}, "fused": True, **more}


def two_files(first: str, second: str) -> Callable[[Json], object]:
    rows = [[first, 0, "0" * 64], [second, 0, "0" * 64]]
    return lambda d: d["files"].update({next(iter(d["files"])): rows})


CHANGES: dict[str, Callable[[Json], object]] = {
    "newer mlship": lambda d: d.update(schemaVersion=2),
    "'name' is missing": lambda d: d.pop("name"),
    "labels: 'team' is not a text": lambda d: d["labels"].update(team=1),
    "'engine' is 'torch': unknown, or of a newer mlship": lambda d: d.update(engine="torch"),
    "'..' is not allowed": lambda d: d["model"].update(path=".."),
    "model: 'opset' is not a whole number": lambda d: d["model"].update(opset="17"),
    "reduction: 'kind' is 'wasm': unknown, or of a newer": lambda d: d["reduction"].update(kind="wasm"),
    "reduction: 'path' is missing": lambda d: d["reduction"].update(kind="onnx"),
    "reduction: 'path' is not in the reduction's folder": lambda d: graph(d, path="model/model.onnx"),
    "reduction: assemble: 'a' is not a list of columns": lambda d: graph(d, assemble={"a": []}),
    "reduction: 'fused' is not true or false": lambda d: graph(d, fused="yes"),
    "reduction: 'module' is not a Python name": lambda d: d["reduction"].update(module="os; import sys"),
    "reduction: 'function' is not a Python name": lambda d: d["reduction"].update(function="a b"),
    "assemble: 'X' is not a list of columns": lambda d: d["assemble"].update(X=[]),
    "inputs[0]: 'datatype' is 'FLOAT'": lambda d: d["schema"]["inputs"][0].update(datatype="FLOAT"),
    "inputs[0]: 'shape' is not a list of sizes": lambda d: d["schema"]["inputs"][0].update(shape=[-2]),
    "inputs[0]: 'nullable' is not true or false": lambda d: d["schema"]["inputs"][0].update(nullable=0),
    "inputs[0]: 'classes' is not a list with a name": lambda d: d["schema"]["inputs"][0].update(
        classes=["a"]
    ),
    "outputs[0]: 'classes' is not a list with a name": lambda d: d["schema"]["outputs"][0].update(
        classes=[1]
    ),
    "seen: 'values' is not a list of texts": lambda d: d["schema"]["inputs"][0].update(
        seen={"values": [1.5]}
    ),
    "seen: 'max' is missing": lambda d: d["schema"]["inputs"][0].update(seen={"min": 1}),
    "seen: 'min' is not a number": lambda d: d["schema"]["inputs"][0].update(seen={"min": True, "max": 1}),
    "names a tensor twice": lambda d: d["schema"].update(outputs=d["schema"]["outputs"] * 2),
    "golden: 'rows' is not a whole number": lambda d: d["golden"].update(rows=-1),
    "score: 'abs' is not a number from 0 on": lambda d: d["golden"]["tolerance"]["score"].update(abs=-1),
    "requirements[0]: 'sha256' is missing": lambda d: d["runtime"]["platforms"][LINUX]["requirements"][0].pop(
        "sha256"
    ),
    "is not a digest of a layer": lambda d: d["files"].update({"model": []}),
    "is not [path, size, sha256]": one_file("model/a", 0),
    "a row is not": one_file("model/a", -1, "0" * 64),
    "a row": one_file(1, 1, "0" * 64),
    "the sha256 of 'model/a' is none": one_file("model/a", 0, "x"),
    "it has a part '..'": one_file("model/../a", 0, "0" * 64),
    "stands twice": two_files("model/a", "model/a"),
    "is out of order": two_files("model/b", "model/a"),
    "are one name on some file systems": two_files("model/A", "model/a"),
}


PYTHON_MODEL = {
    "serialization": "pickle",
    "globals": ["sklearn.pipeline.Pipeline"],
    "reads": "matrix",
    "inputs": [{"name": "X", "datatype": "FP64", "shape": [-1, 1], "nullable": False}],
    "answers": ["label"],
}
PYTHON_CHANGES: dict[str, Callable[[Json], object]] = {
    "model: 'serialization' is none of pickle, skops": lambda m: m.update(serialization="dill"),
    "model: 'serialization' is missing": lambda m: m.pop("serialization"),
    "model: 'globals' is not a list of names": lambda m: m.update(globals=[1]),
    "model: 'globals' is missing": lambda m: m.pop("globals"),
    "model: 'reads' is none of matrix, frame": lambda m: m.update(reads="rows"),
    "model: 'answers' is not a list of names": lambda m: m.update(answers=[""]),
    "model: 'inputs' is not what the model reads": lambda m: m.update(inputs=[]),
    "inputs[0]: 'datatype' is 'X'": lambda m: m["inputs"][0].update(datatype="X"),
}


def test_a_model_that_is_no_graph(layers: list[Layer]) -> None:
    spec = make_spec(layers)
    spec["engine"], spec["model"] = "python", {**spec["model"], **copy.deepcopy(PYTHON_MODEL)}
    found = read_spec(canonical.encode(spec))
    assert (found.engine, found.form) == ("python", "pickle")
    assert read_spec(canonical.encode(make_spec(layers))).form == "onnx"


@pytest.mark.parametrize("why", PYTHON_CHANGES)
def test_a_model_that_is_no_graph_refused(layers: list[Layer], why: str) -> None:
    spec = make_spec(layers)
    spec["engine"], spec["model"] = "python", {**spec["model"], **copy.deepcopy(PYTHON_MODEL)}
    PYTHON_CHANGES[why](spec["model"])
    with pytest.raises(InvalidBundle) as caught:
        read_spec(canonical.encode(spec))
    assert why in str(caught.value)


@pytest.mark.parametrize("why", CHANGES)
def test_refused(layers: list[Layer], why: str) -> None:
    document = copy.deepcopy(make_spec(layers))
    CHANGES[why](document)
    with pytest.raises(InvalidBundle) as caught:
        read_spec(canonical.encode(document))
    assert why in str(caught.value)


@given(st.data())
def test_mutated_values(layers: list[Layer], draw: st.DataObject) -> None:
    document = json.loads(canonical.encode(make_spec(layers)))
    place: Json = document
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = draw.draw(st.sampled_from(keys))
        if not (isinstance(place[key], dict | list) and place[key] and draw.draw(st.booleans())):
            break
        place = place[key]
    place[key] = draw.draw(
        st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.just({}) | st.just([])
    )
    try:
        spec = read_spec(canonical.encode(document))
    except InvalidBundle:
        return  # the one error; any other fails the test
    assert spec.document == document


def agree(layers: list[Layer], change: Callable[[Json], object], *, left_out: str = "") -> None:
    document = copy.deepcopy(make_spec(layers))
    change(document)
    spec = canonical.encode(document)
    kept = [layer.descriptor() for layer in layers if layer.role != left_out]
    descriptors = [*kept, spec_descriptor(spec)]
    data = build_manifest("churn", "1.0", descriptors, build_config("churn", "1.0", descriptors))
    check_agreement(read_manifest(data), read_spec(spec))


def test_agreement(layers: list[Layer]) -> None:
    agree(layers, lambda d: None)


DISAGREEMENTS: dict[str, Callable[[Json], object]] = {
    "of different bundles": lambda d: d.update(version="2.0"),
    "indexes other layers": lambda d: d["files"].popitem(),
    "other layers than the manifest": lambda d: d["files"].update({"sha256:" + "0" * 64: []}),
    "lies outside its layer's folder": one_file("golden/x", 0, "0" * 64),
    "the bundle has no file 'model/other.onnx'": lambda d: d["model"].update(path="model/other.onnx"),
    "the bundle has no file 'golden/x.json'": lambda d: d["golden"].update(path="golden/x.json"),
    "whether there is a reduction": lambda d: d.update(reduction=None),
    "disagree on what the model is": lambda d: d.update(
        engine="python", model={**d["model"], **copy.deepcopy(PYTHON_MODEL)}
    ),
    "the bundle has no file 'reduction/reduction.onnx'": lambda d: graph(d),
    "no module 'other.part'": lambda d: d["reduction"].update(module="other.part"),
}


@pytest.mark.parametrize("why", DISAGREEMENTS)
def test_disagreement(layers: list[Layer], why: str) -> None:
    with pytest.raises(InvalidBundle) as caught:
        agree(layers, DISAGREEMENTS[why])
    assert why in str(caught.value)


def test_reduction_without_its_layer(layers: list[Layer]) -> None:
    gone = next(layer.digest for layer in layers if layer.role == "reduction")
    with pytest.raises(InvalidBundle, match="whether there is a reduction"):
        agree(layers, lambda d: d["files"].pop(gone), left_out="reduction")
