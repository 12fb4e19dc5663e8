"""A bundle unpacked on this machine, for a process of its own: what `serve` and the gate of quality start."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mlship.bundle.fault import as_bundle_error
from mlship.bundle.open import OpenBundle
from mlship.config.folders import cache_dir
from mlship.digest import hex_of, sha256
from mlship.errors import TargetError
from mlship.host.local import LocalHost
from mlship.host.site import Site
from mlship.ops.context import Context
from mlship.ops.crossing import passage_of
from mlship.ops.places import Places
from mlship.result import to_json
from mlship.target.hosted_platform import fitting_platform
from mlship_runtime.bundle.extract import extract_layer
from mlship_runtime.bundle.ustar import ChunkStream

_SETTINGS: dict[str, Any] = {"workers": 1, "readyTimeout": 60.0, "drainTimeout": 5.0}


def unpacked_here(
    ctx: Context, bundle: OpenBundle, folder: Path, answering: Mapping[str, Any] = MappingProxyType({})
) -> tuple[dict[str, Any], str]:
    """A release record as a host has it, for a release that is none (its small files in `folder`), and the
    Python that runs it. `answering` is what its settings say besides. Raises PolicyError where it may not
    come here, BundleError for damaged layers, TargetError if it does not run here."""
    base = getattr(sys, "_base_executable", "") or sys.executable
    platform, python = fitting_platform(Site(LocalHost(), "", bundle.spec.name, base), bundle, "")
    with passage_of(ctx, "unpack", bundle, Places.here).open():
        layers = _unpack(ctx, bundle, platform)
    settings = {**_SETTINGS, **answering}
    record = {
        "schemaVersion": 1,
        "number": 1,
        "service": bundle.spec.name,
        "digest": bundle.digest,
        "reference": str(bundle.reference),
        "settings": settings,
        "settingsDigest": sha256(to_json(settings)),
        "manifest": str(bundle.fetch(bundle.digest, folder)),
        "spec": str(bundle.fetch(bundle.manifest.spec_layer.digest, folder)),
        "layers": layers,
        "platform": platform,
    }
    return record, python


def _unpack(ctx: Context, bundle: OpenBundle, platform: str) -> dict[str, str]:
    """Folder by layer digest, in the user's cache; what is there is not unpacked again."""
    folder = cache_dir() / "unpacked"
    layers = [layer for layer in bundle.manifest.layers_for(platform) if layer.is_tar]
    roots = {layer.digest: folder / hex_of(layer.digest) for layer in layers}
    missing = [layer for layer in layers if not roots[layer.digest].exists()]
    if missing:
        ctx.progress.phase("unpacking", sum(layer.size for layer in missing), unit="bytes")
    for layer in missing:
        _make(folder)
        with as_bundle_error():
            stream = ChunkStream(bundle.blob(layer.digest))
            extract_layer(stream, str(roots[layer.digest]), bundle.spec.files[layer.digest], layer.digest)
        ctx.progress.advance(layer.size)
    return {digest: str(root) for digest, root in roots.items()}


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TargetError(
            f"the folder {folder} cannot be made",
            cause=error.strerror or "",
            fix="MLSHIP_CACHE can name another place",
        ) from error
