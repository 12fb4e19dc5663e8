"""A whole, small bundle without building one: every role, two platforms, no model that could run."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from mlship.bundle.archive import Layer, write_layer
from mlship.bundle.manifest import build_config, build_manifest, spec_descriptor
from mlship.bundle.source import BundleSink
from mlship.digest import sha256
from mlship_runtime.bundle import canonical

LINUX, MACOS = "linux-amd64-cp311-gnu2.28", "macos-arm64-cp311-14"
GOLDEN = {
    "schemaVersion": 1,
    "inputs": [{"name": "age", "datatype": "FP64", "shape": [2], "data": [41.0, None]}],
    "outputs": [{"name": "label", "datatype": "INT64", "shape": [2, 1], "data": [1, 0]}],
}


def make_layers(folder: Path, *, model: bytes = b"a model") -> list[Layer]:
    golden = canonical.encode(GOLDEN)

    def layer(role: str, files: dict[str, bytes], platform: str = "", title: str = "") -> Layer:
        name = title or f"{role}.tar"
        return write_layer(folder / name, role, files.items(), platform=platform)

    return [
        layer("model", {"model/model.onnx": model}),
        layer("reduction", {"reduction/reduce.py": b"def reduce(columns):\n    return columns\n"}),
        layer(
            "runtime",
            {"runtime/any/mlship_runtime/boot.py": b"", "runtime/any/a.py": b"1\n"},
            "any",
            "any.tar",
        ),
        layer("runtime", {f"runtime/{LINUX}/numpy/core.so": b"\x7fELF" * 200}, LINUX, "runtime-linux.tar"),
        layer("runtime", {f"runtime/{MACOS}/numpy/core.so": b"\xcf\xfa" * 300}, MACOS, "runtime-macos.tar"),
        layer("golden", {"golden/golden.json": golden}),
    ]


def make_spec(layers: list[Layer], name: str = "churn", version: str = "1.0") -> dict[str, Any]:
    tensor = {"datatype": "FP64", "shape": [-1], "nullable": True}
    label = {"name": "label", "datatype": "INT64", "shape": [-1, 1], "nullable": False}
    return {
        "schemaVersion": 1,
        "name": name,
        "version": version,
        "labels": {"team": "risk"},
        "engine": "onnx",
        "model": {
            "path": "model/model.onnx",
            "framework": "sklearn",
            "converter": {"skl2onnx": "1.20.0"},
            "opset": 17,
        },
        "reduction": {"kind": "python", "module": "reduce", "function": "reduce"},
        "assemble": {"X": ["age"]},
        "schema": {
            "inputs": [{"name": "age", **tensor}],
            "reduced": [{"name": "age", **tensor}],
            "outputs": [label],
        },
        "golden": {
            "path": "golden/golden.json",
            "rows": 2,
            "tolerance": {"score": {"abs": 1e-6, "rel": 1e-5}},
        },
        "parity": {"rows": 2, "maxAbs": 0.0, "maxRel": 0.0, "decisionsEqual": True},
        "runtime": {
            "python": "3.11",
            "platforms": {
                LINUX: {
                    "requirements": [
                        {"name": "numpy", "version": "2.4.6", "file": "numpy.whl", "sha256": "0" * 64}
                    ],
                    "trim": 1,
                }
            },
            "limits": {},
        },
        "files": {layer.digest: layer.index() for layer in layers},
    }


def write_bundle(
    sink: BundleSink, layers: list[Layer], document: dict[str, Any], *, name: str = "churn"
) -> str:
    """Put the bundle of these layers and this spec into `sink`; its digest."""
    spec = canonical.encode(document)
    descriptors = [*(layer.descriptor() for layer in layers), spec_descriptor(spec)]
    config = build_config(document["name"], document["version"], descriptors)
    for data in (spec, config):
        sink.write_blob(name, sha256(data), len(data), [data])
    for layer in layers:
        sink.write_blob(name, layer.digest, layer.size, [layer.path.read_bytes()])
    labelled = bool(document["labels"] or document["golden"].get("labels"))
    manifest = build_manifest(document["name"], document["version"], descriptors, config, labelled=labelled)
    return sink.write_manifest(name, manifest)


def make_bundle(
    sink: BundleSink,
    *,
    version: str = "1.0",
    model: bytes = b"a model",
    labels: dict[str, str] | None = None,
    row_labels: dict[str, str] | None = None,
) -> str:
    """A good bundle `churn` in `sink`; its digest."""
    with tempfile.TemporaryDirectory() as folder:
        layers = make_layers(Path(folder), model=model)
        document = make_spec(layers, version=version)
        if labels is not None:
            document["labels"] = labels
        if row_labels:
            document["golden"]["labels"] = row_labels
        return write_bundle(sink, layers, document)
