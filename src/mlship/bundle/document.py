"""Writes `mlship.json`, the spec of a bundle, and the manifest over its layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from mlship.bundle.archive import Layer
from mlship.bundle.lock import LockedParity, LockedRuntime
from mlship.bundle.manifest import build_config, build_manifest, spec_descriptor
from mlship.bundle.models.convert import Converted
from mlship.bundle.models.mlflow import registered
from mlship.bundle.models.reducing import FILE, Reducing
from mlship.bundle.rows.examples import Examples, Tensor
from mlship.bundle.rows.golden import tolerances
from mlship.bundle.rows.seen import Seen
from mlship.config import Project
from mlship_runtime.bundle.canonical import encode
from mlship_runtime.bundle.spec import TensorSpec

MODEL_PATH = "model/model.onnx"
REDUCTION_PATH = f"reduction/{FILE}"
GOLDEN_PATH = "golden/golden.json"
CARD_PATH = "card/card.md"
SCHEMA = 1
NOT_PROVED = LockedParity(rows=0, max_abs=0.0, max_rel=0.0)


@dataclass(frozen=True)
class Documents:
    """The JSON blobs of a bundle, as bytes."""

    spec: bytes
    config: bytes
    manifest: bytes


@dataclass(frozen=True)
class Content:
    """All that the spec says. `outputs` are recorded answers to `golden_rows` rows; empty while the bundle is
    being tried, and then everything that the graph answers is recorded. `seen` is by part of the schema."""

    project: Project
    examples: Examples
    converted: Converted
    runtime: LockedRuntime
    outputs: Sequence[Tensor] = ()
    golden_rows: int = 0
    seen: Mapping[str, Seen] = field(default_factory=dict)
    parity: LockedParity = NOT_PROVED


def write_documents(content: Content, layers: Iterable[Layer]) -> Documents:
    """Spec, config and manifest over `layers` (all but the spec's own)."""
    layers = list(layers)
    spec = encode({**_spec(content), "files": {layer.digest: layer.index() for layer in layers}})
    descriptors = [*(layer.descriptor() for layer in layers), spec_descriptor(spec)]
    name, version = content.project.project.name, content.project.project.version
    unconverted = content.converted.unconverted
    form = unconverted.found.serialization if unconverted else "onnx"
    config = build_config(name, version, descriptors, form)
    labelled = bool(content.project.bundle.labels or row_labels(content.project))
    manifest = build_manifest(name, version, descriptors, config, form, labelled=labelled)
    return Documents(spec, config, manifest)


def _spec(content: Content) -> dict[str, Any]:
    project, converted = content.project, content.converted
    return {
        "schemaVersion": SCHEMA,
        "name": project.project.name,
        "version": project.project.version,
        "labels": dict(project.bundle.labels),
        **({"notSecret": _not_secret(project)} if project.bundle.not_secret else {}),
        "engine": "python" if converted.unconverted else "onnx",
        "model": _model(project, converted),
        "reduction": _reduction(content),
        "assemble": {name: list(columns) for name, columns in converted.assemble.items()},
        "schema": {
            "inputs": _tensors(content, "inputs", content.examples.schema),
            "reduced": _tensors(content, "reduced", converted.reduced_schema),
            "outputs": _tensors(
                content, "outputs", [_output_spec(tensor, converted.classes) for tensor in content.outputs]
            ),
        },
        "golden": {
            "path": GOLDEN_PATH,
            "rows": content.golden_rows,
            "tolerance": tolerances(project, content.outputs),
            **({"labels": row_labels(project)} if row_labels(project) else {}),
        },
        "parity": _parity(content),
        "runtime": _runtime(content),
    }


def row_labels(project: Project) -> dict[str, str]:
    """The labels of the rows that travel, and of the ranges seen in them; rows that were made have none."""
    return {} if project.golden.synthetic else dict(project.golden.labels)


def _model(project: Project, converted: Converted) -> dict[str, Any]:
    unconverted, known = converted.unconverted, registered(project)
    return {
        "path": unconverted.path if unconverted else MODEL_PATH,
        "framework": converted.framework,
        "converter": dict(converted.converter),
        "opset": converted.opset,
        **({"registered": known} if known else {}),
        **(unconverted.recorded if unconverted else {}),
    }


def _reduction(content: Content) -> dict[str, Any] | None:
    section, graph = content.project.reduction, content.converted.reducing
    if graph is not None:
        return {"kind": "onnx", **_reduction_graph(graph)}
    if section is None:
        return None
    return {"kind": "python", "module": section.module, "function": section.function}


def _reduction_graph(graph: Reducing) -> dict[str, Any]:
    return {
        "path": REDUCTION_PATH,
        "opset": graph.opset,
        "converter": dict(graph.converter),
        "steps": list(graph.steps),
        "assemble": {name: list(columns) for name, columns in graph.assemble.items()},
        "fused": not graph.apart,
        **({"apart": graph.apart} if graph.apart else {}),
    }


def _not_secret(project: Project) -> list[str]:
    """Places in the reduction's files as the project has them, those in the model card as the bundle has."""
    card = project.bundle.card
    return [
        CARD_PATH + place.removeprefix(card) if card and place.partition(":")[0] == card else place
        for place in project.bundle.not_secret
    ]


def _parity(content: Content) -> dict[str, Any]:
    parity, tolerance = content.parity, content.project.model.tolerance
    return {
        "rows": parity.rows,
        "maxAbs": parity.max_abs,
        "maxRel": parity.max_rel,
        "decisionsEqual": True,  # or there would be no bundle
        "tolerance": {"abs": tolerance.abs, "rel": tolerance.rel},
    }


def _runtime(content: Content) -> dict[str, Any]:
    runtime = content.runtime
    return {
        "python": runtime.python,
        "platforms": {
            name: {"requirements": [msgspec.to_builtins(wheel) for wheel in wheels], "trim": runtime.trim}
            for name, wheels in runtime.platforms.items()
        },
        "limits": content.project.runtime.limits.as_set(),
    }


def _output_spec(tensor: Mapping[str, Any], classes: Mapping[str, Sequence[str]]) -> TensorSpec:
    shape = (-1, *tensor["shape"][1:])
    return TensorSpec(
        tensor["name"], tensor["datatype"], shape, False, tuple(classes.get(tensor["name"], ()))
    )


def _tensors(content: Content, part: str, specs: Iterable[TensorSpec]) -> list[dict[str, Any]]:
    seen = content.seen.get(part, {})
    return [_tensor(spec, seen.get(spec.name)) for spec in specs]


def _tensor(spec: TensorSpec, seen: Mapping[str, Any] | None) -> dict[str, Any]:
    return {
        "name": spec.name,
        "datatype": spec.datatype,
        "shape": list(spec.shape),
        "nullable": spec.nullable,
        **({"classes": list(spec.classes)} if spec.classes else {}),
        **({"seen": dict(seen)} if seen else {}),
    }
