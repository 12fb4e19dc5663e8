"""Writes what `mlship_runtime.bundle.manifest` reads: the ModelPack manifest, its config, its descriptors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mlship.bundle.fault import as_bundle_error
from mlship.digest import sha256
from mlship.errors import BundleError
from mlship_runtime.bundle import canonical
from mlship_runtime.bundle.manifest import (
    ANY_PLATFORM,
    ARTIFACT_TYPE,
    CONFIG_TYPE,
    FILEPATH,
    FORM,
    LABELLED,
    LAYER_TYPES,
    MANIFEST_TYPE,
    PLATFORM,
    ROLE,
    ROLES,
    SPEC_PATH,
    TITLE,
    VERSION,
    read_manifest,
)

Json = dict[str, Any]


def layer_descriptor(role: str, digest: str, size: int, *, title: str = "", platform: str = "") -> Json:
    """The descriptor of one layer; `size` in bytes. Runtime layers have a platform (or `any`) and a title of
    their own, the others are called after their role."""
    filepath = {"runtime": f"runtime/{platform}", "spec": SPEC_PATH}.get(role, role)
    annotations = {
        ROLE: role,
        TITLE: title or (SPEC_PATH if role == "spec" else f"{role}.tar"),
        FILEPATH: filepath,
    }
    if platform:
        annotations[PLATFORM] = platform
    return {"mediaType": LAYER_TYPES[role], "digest": digest, "size": size, "annotations": annotations}


def spec_descriptor(spec: bytes) -> Json:
    """The descriptor of `mlship.json`."""
    return layer_descriptor("spec", sha256(spec), len(spec))


def in_order(layers: Iterable[Json]) -> list[Json]:
    """Layers as a manifest has them: by role, of the runtime `any` first, then by platform and title."""
    return sorted(layers, key=_place)


def build_config(name: str, version: str, layers: Iterable[Json], form: str = "onnx") -> bytes:
    """The ModelPack config: what the bundle is called, the `form` of its model, and its layers' digests
    (which are their diff ids, as no layer is compressed). No time of making: it would be an input."""
    return canonical.encode(
        {
            "descriptor": {"name": name, "version": version},
            "config": {"format": form},
            "modelfs": {"type": "layers", "diffIds": [layer["digest"] for layer in in_order(layers)]},
        }
    )


def build_manifest(
    name: str,
    version: str,
    layers: Iterable[Json],
    config: bytes,
    form: str = "onnx",
    *,
    labelled: bool = False,
) -> bytes:
    """The manifest's bytes; their sha256 is the bundle's digest. `config` is what `build_config` returned for
    these layers and `form`; `labelled` says that the spec has labels. Raises BundleError if they make no
    bundle."""
    data = canonical.encode(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "artifactType": ARTIFACT_TYPE,
            "config": {"mediaType": CONFIG_TYPE, "digest": sha256(config), "size": len(config)},
            "layers": in_order(layers),
            "annotations": {
                TITLE: name,
                VERSION: version,
                **({} if form == "onnx" else {FORM: form}),
                **({LABELLED: "true"} if labelled else {}),
            },
        }
    )
    with as_bundle_error():
        read_manifest(data)
    return data


def check_config(config: Any, layers: Iterable[str]) -> None:
    """Raise BundleError unless the ModelPack config lists the digests of exactly these layers, in order."""
    modelfs = config.get("modelfs") if isinstance(config, dict) else None
    if not isinstance(modelfs, dict) or modelfs.get("diffIds") != list(layers):
        raise BundleError("the bundle's config lists other layers than its manifest")


def _place(layer: Json) -> tuple[int, bool, str, str]:
    notes = layer["annotations"]
    platform = notes.get(PLATFORM, "")
    return ROLES.index(notes[ROLE]), platform != ANY_PLATFORM, platform, notes[TITLE]
