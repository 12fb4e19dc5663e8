"""A bundle as it lies unpacked: each layer in a folder of its own (or all in one), with manifest and spec."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlship_runtime.bundle.agreement import check_agreement
from mlship_runtime.bundle.manifest import ANY_PLATFORM, Descriptor, digest_of, read_manifest
from mlship_runtime.bundle.spec import MAX_SPEC_BYTES, Spec, read_spec
from mlship_runtime.errors import InvalidBundle

MAX_MANIFEST_BYTES = 4 << 20


class BundleTree:
    """An unpacked bundle. `roots` maps a layer's digest to the folder that its paths lie beneath; layers of
    other platforms are simply not in it. Nothing is verified here: see `verify.verify_tree`."""

    def __init__(self, manifest_bytes: bytes, spec: Spec, roots: Mapping[str, str]) -> None:
        self.manifest_bytes = manifest_bytes
        self.digest = digest_of(manifest_bytes)
        self.manifest = read_manifest(manifest_bytes)
        self.spec = spec
        self.roots: dict[str, str] = dict(roots)
        check_agreement(self.manifest, spec)
        self._owner = {entry.path: digest for digest in self.roots for entry in spec.files.get(digest, ())}

    @property
    def layers(self) -> tuple[Descriptor, ...]:
        """The tar layers that are unpacked here, in the manifest's order."""
        return tuple(layer for layer in self.manifest.layers if layer.digest in self.roots)

    def path(self, name: str) -> str:
        """The real path of a file of the bundle (`model/model.onnx`); raises InvalidBundle if it has none."""
        digest = self._owner.get(name)
        if digest is None:
            raise InvalidBundle(f"the unpacked bundle has no file {name[:250]!a}")
        return str(Path(self.roots[digest], name))

    def roots_of(self, role: str, platform: str = "") -> tuple[str, ...]:
        """The folders that hold the layers of `role`; of runtime layers those for `any` and `platform`."""
        found = (
            self.roots[layer.digest]
            for layer in self.layers
            if layer.role == role and layer.platform in ("", ANY_PLATFORM, platform)
        )
        return tuple(dict.fromkeys(found))

    def search_path(self, platform: str) -> tuple[str, ...]:
        """The folders to put on `sys.path` for the runtime of `platform`, `runtime/any` first."""
        found = (
            str(Path(self.roots[layer.digest], layer.filepath))
            for layer in self.layers
            if layer.role == "runtime" and layer.platform in (ANY_PLATFORM, platform)
        )
        return tuple(dict.fromkeys(found))


def open_tree(release: Mapping[str, Any]) -> BundleTree:
    """The tree of a release record; raises InvalidBundle if manifest or spec are not what their digests say,
    or a layer that the record's platform needs has no folder."""
    manifest_bytes = _read(release["manifest"], release["digest"], MAX_MANIFEST_BYTES)
    manifest = read_manifest(manifest_bytes)
    spec = read_spec(_read(release["spec"], manifest.spec_layer.digest, MAX_SPEC_BYTES))
    roots = release["layers"]
    for layer in manifest.layers_for(release["platform"]):
        if layer.is_tar and layer.digest not in roots:
            raise InvalidBundle(f"the layer {layer.title} is not unpacked here", cause=layer.digest)
    return BundleTree(manifest_bytes, spec, roots)


def _read(path: str, digest: str, limit: int) -> bytes:
    try:
        with Path(path).open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise InvalidBundle(f"{path} cannot be read", cause=error.strerror or str(error)) from error
    if digest_of(data) != digest:
        raise InvalidBundle(f"{path} is not {digest[:19]}…", cause="it was damaged or exchanged")
    return data
