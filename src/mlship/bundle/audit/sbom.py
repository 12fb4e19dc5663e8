"""What a bundle is made of, as a CycloneDX 1.6 document: the model with its card, and every package.

Source: CycloneDX 1.6 JSON reference; package URL specification (type pypi). There is no serial number and no
time in it, which may be left out: they would move the bundle's digest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from mlship.bundle.archive import Layer
from mlship.bundle.audit.licenses import wheel_licenses
from mlship.bundle.document import MODEL_PATH, Content
from mlship.bundle.lock import LockedRuntime
from mlship.bundle.packages.resolve import Wheel
from mlship.bundle.packages.wheels import wheel_path
from mlship_runtime.bundle.spec import FileEntry, TensorSpec

Json = dict[str, Any]
DISTRIBUTION = "mlship-toolchain"


def sbom(content: Content, layers: Sequence[Layer]) -> Json:
    """The document of the bundle of `layers` (all but the card's own and the spec's). Wheels are read from
    the cache for what they say of their licences; raises BuildError if one cannot be."""
    parts = [_model(content, layers), *_reduction(content, layers), _golden(layers), _server(content.runtime)]
    packages = _packages(content.runtime)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"lifecycles": [{"phase": "build"}], "component": _bundle(content)},
        "components": [*parts, *packages],
        "dependencies": [
            {"ref": "bundle", "dependsOn": sorted(part["bom-ref"] for part in (*parts, *packages))}
        ],
        "compositions": [{"aggregate": "complete", "assemblies": ["bundle"]}],
    }


def package_url(name: str, version: str, file: str = "") -> str:
    """The package URL of what comes from a Python package index; of one `file` of it, if given."""
    plain = name.lower().replace("_", "-")
    qualifier = f"?file_name={quote(file, safe='')}" if file else ""
    return f"pkg:pypi/{quote(plain, safe='')}@{quote(version, safe='')}{qualifier}"


def _bundle(content: Content) -> Json:
    project = content.project
    said = {"python": content.runtime.python}
    said |= {f"label:{name}": value for name, value in project.bundle.labels.items()}
    return {
        "type": "application",
        "bom-ref": "bundle",
        "name": project.project.name,
        "version": project.project.version,
        "properties": _properties(said),
    }


def _model(content: Content, layers: Sequence[Layer]) -> Json:
    converted, project = content.converted, content.project
    files = _files(layers, "model")
    kept = converted.unconverted
    graph = next(entry for entry in files if entry.path == (kept.path if kept else MODEL_PATH))
    said = {"engine": "python" if kept else "onnx", "framework": converted.framework}
    said |= {"serialization": kept.found.serialization} if kept else {"opset": str(converted.opset)}
    said |= {f"converter:{name}": version for name, version in converted.converter.items()}
    return {
        "type": "machine-learning-model",
        "bom-ref": "model",
        "name": project.project.name,
        "version": project.project.version,
        "hashes": [_hash(graph.sha256)],
        "components": [_file(entry) for entry in files],
        "modelCard": _model_card(content),
        "properties": _properties(said),
    }


def _model_card(content: Content) -> Json:
    parity, converted = content.parity, content.converted
    card: Json = {
        "modelParameters": {
            "inputs": [{"format": _form(tensor)} for tensor in converted.reduced_schema],
            "outputs": [
                {"format": _named(out["name"], out["datatype"], (-1, *out["shape"][1:]), False)}
                for out in content.outputs
            ],
        }
    }
    if parity.rows:
        measured = {
            "rows on which it decides as the original": str(parity.rows),
            "largest absolute difference from the original": f"{parity.max_abs:.6g}",
            "largest relative difference from the original": f"{parity.max_rel:.6g}",
        }
        card["quantitativeAnalysis"] = {
            "performanceMetrics": [{"type": kind, "value": value} for kind, value in measured.items()]
        }
    return card


def _reduction(content: Content, layers: Sequence[Layer]) -> list[Json]:
    files, section, graph = _files(layers, "reduction"), content.project.reduction, content.converted.reducing
    if not files:
        return []
    said = {"kind": "onnx" if graph else "python"}
    if graph:
        said |= {f"converter:{name}": version for name, version in graph.converter.items()}
    named = (section and (section.step or section.graph)) or ", ".join(graph.steps if graph else ())
    return [
        {
            "type": "library",
            "bom-ref": "reduction",
            "name": named or "reduction",
            "components": [_file(entry) for entry in files],
            "properties": _properties(said),
        }
    ]


def _golden(layers: Sequence[Layer]) -> Json:
    (entry,) = _files(layers, "golden")
    return {**_file(entry), "type": "data", "description": "raw rows and the answers they must get"}


def _server(runtime: LockedRuntime) -> Json:
    return {
        "type": "application",
        "bom-ref": package_url(DISTRIBUTION, runtime.mlship),
        "name": DISTRIBUTION,
        "version": runtime.mlship,
        "purl": package_url(DISTRIBUTION, runtime.mlship),
        "description": "its server and checks, as sources",
        "properties": _properties({"layer": runtime.ground_floor}),
    }


def _packages(runtime: LockedRuntime) -> list[Json]:
    """One component for each wheel, with the platforms that it is for."""
    platforms: dict[Wheel, list[str]] = {}
    for name in sorted(runtime.platforms):
        for wheel in runtime.wheels(name):
            platforms.setdefault(wheel, []).append(name)
    return [_package(wheel, names) for wheel, names in sorted(platforms.items())]


def _package(wheel: Wheel, platforms: Iterable[str]) -> Json:
    purl = package_url(wheel.name, wheel.version, wheel.file)
    found: Json = {
        "type": "library",
        "bom-ref": purl,
        "name": wheel.name,
        "version": wheel.version,
        "purl": purl,
        "scope": "required",
        "hashes": [_hash(wheel.sha256)],
        "properties": [{"name": "mlship:platform", "value": name} for name in platforms],
    }
    licenses = wheel_licenses(wheel_path(wheel))
    return {**found, "licenses": licenses} if licenses else found


def _files(layers: Sequence[Layer], role: str) -> list[FileEntry]:
    return [entry for layer in layers if layer.role == role for entry in layer.entries]


def _file(entry: FileEntry) -> Json:
    return {"type": "file", "bom-ref": entry.path, "name": entry.path, "hashes": [_hash(entry.sha256)]}


def _hash(sha256: str) -> Json:
    return {"alg": "SHA-256", "content": sha256}


def _form(tensor: TensorSpec) -> str:
    return _named(tensor.name, tensor.datatype, tensor.shape, tensor.nullable)


def _named(name: str, datatype: str, shape: Iterable[int], nullable: bool) -> str:
    sizes = ", ".join("rows" if size == -1 else str(size) for size in shape)
    return f"{name}: {datatype} [{sizes}]{', may be missing' if nullable else ''}"


def _properties(said: Mapping[str, str]) -> list[Json]:
    return [{"name": f"mlship:{name}", "value": value} for name, value in sorted(said.items())]
