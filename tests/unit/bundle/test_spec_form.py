"""The documented form of mlship.json against what reads and what writes it."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from sample_bundle import make_layers, make_spec

from mlship.bundle import document, spec_form
from mlship.bundle.spec_form import BundleSpec, Datatype, json_schema
from mlship_runtime.bundle import canonical
from mlship_runtime.bundle.spec import DATATYPES, read_spec
from mlship_runtime.errors import InvalidBundle


@pytest.fixture
def good(tmp_path: Path) -> dict:
    spec = make_spec(make_layers(tmp_path))
    spec["parity"]["tolerance"] = {"abs": 1e-4, "rel": 1e-4}
    return spec


def test_what_is_read_has_the_documented_form(good: dict) -> None:
    data = canonical.encode(good)
    assert read_spec(data).name == msgspec.json.decode(data, type=BundleSpec).name == "churn"


def keys_written(function) -> set[str]:
    """Keys of the outermost object that a function of the writer returns."""
    tree = ast.parse(inspect.getsource(function))
    returned = next(node.value for node in ast.walk(tree) if isinstance(node, ast.Return))
    assert isinstance(returned, ast.Dict)
    return {key.value for key in returned.keys if isinstance(key, ast.Constant)}


@pytest.mark.parametrize(
    ("function", "form", "more"),
    [
        ("_spec", "BundleSpec", {"files", "notSecret"}),
        ("_parity", "Parity", set()),
        ("_runtime", "Runtime", set()),
        ("_tensor", "Tensor", {"classes", "seen"}),
        ("_reduction_graph", "GraphReduction", {"apart"}),
    ],
)
def test_every_key_that_builds_write_is_documented(function: str, form: str, more: set[str]) -> None:
    fields = {field.encode_name for field in msgspec.structs.fields(getattr(spec_form, form))}
    assert keys_written(getattr(document, function)) | more == fields


def test_the_datatypes_are_those_of_the_reader() -> None:
    assert set(get_args(Datatype)) == DATATYPES


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.update(schemaVersion=2),
        lambda s: s.update(engine="pickle"),
        lambda s: s.pop("labels") and s.update(labels=[]),
        lambda s: s["model"].pop("opset"),
        lambda s: s["reduction"].update(kind="pickle"),
        lambda s: s["schema"]["inputs"][0].update(datatype="FLOAT"),
        lambda s: s["schema"]["inputs"][0].update(nullable=0),
        lambda s: s["schema"]["inputs"][0].update(shape=[-2]),
        lambda s: s["golden"].update(rows=-1),
        lambda s: s["golden"]["tolerance"]["score"].update(abs=-1),
        lambda s: s["files"].update({"sha512:0": []}),
        lambda s: next(iter(s["files"].values())).append(["x", -1, "0" * 64]),
        lambda s: next(iter(s["files"].values())).append(["x", 1, "0"]),
    ],
)
def test_what_the_form_refuses_the_reader_refuses_too(good: dict, change) -> None:
    change(good)
    data = canonical.encode(good)
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(data, type=BundleSpec)
    with pytest.raises(InvalidBundle):
        read_spec(data)


def test_the_schema_names_every_part() -> None:
    schema = json_schema()
    assert schema["$ref"] == "#/$defs/BundleSpec"
    assert {"BundleSpec", "Tensor", "Package", "Golden", "Parity", "Runtime"} <= set(schema["$defs"])
    assert schema["$defs"]["BundleSpec"]["required"] == [
        field.encode_name for field in msgspec.structs.fields(BundleSpec) if field.required
    ]
