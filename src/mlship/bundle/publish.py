"""Puts a built bundle into a registry: blobs, then the manifest, then the tag."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from mlship.bundle.archive import Layer
from mlship.bundle.document import Documents
from mlship.bundle.source import BundleSink, announced
from mlship.config import Project
from mlship.digest import chunks_of, sha256
from mlship.progress import Progress


class BuildStore(BundleSink, Protocol):
    """The registry that a build writes to (see `mlship.registry.Registry`)."""

    def read_tag(self, name: str, tag: str) -> Any: ...

    def set_tag(self, name: str, tag: str, digest: str, expected: Any, *, source: str = "") -> Any: ...


@runtime_checkable
class _TakesFiles(Protocol):
    def adopt_blob(self, name: str, digest: str, size: int, file: Path) -> bool: ...


def publish(
    project: Project, registry: BuildStore, documents: Documents, layers: Sequence[Layer], progress: Progress
) -> int:
    """Write what is missing and tag the manifest with the project's version; returns the bytes written."""
    blobs = [*(layer.digest for layer in layers), sha256(documents.spec), sha256(documents.config)]
    with announced(registry, project.project.name, sha256(documents.manifest), blobs):
        return _publish(project, registry, documents, layers, progress)


def _publish(
    project: Project, registry: BuildStore, documents: Documents, layers: Sequence[Layer], progress: Progress
) -> int:
    name, tag = project.project.name, project.project.version
    progress.phase("store", sum(layer.size for layer in layers), unit="bytes")
    sent = 0
    for layer in layers:
        digest, size = layer.digest, layer.size
        if not registry.has_blob(name, digest):
            # Runtime layers lie in the cache, shards in the build's folder, both unchanged for good: a folder
            # registry can link them.
            if layer.role in ("runtime", "model") and isinstance(registry, _TakesFiles):
                registry.adopt_blob(name, digest, size, layer.path)
            else:
                registry.write_blob(name, digest, size, chunks_of(layer.path))
            sent += size
        progress.advance(size)
    for data in (documents.spec, documents.config):
        if not registry.has_blob(name, sha256(data)):
            registry.write_blob(name, sha256(data), len(data), iter((data,)))
            sent += len(data)
    digest = registry.write_manifest(name, documents.manifest)
    before = registry.read_tag(name, tag)
    if before is None or before.digest != digest:
        registry.set_tag(name, tag, digest, before, source="build")
    return sent
