"""Opens and verifies bundles where they lie, without unpacking them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mlship.bundle.fault import as_bundle_error, damage_placed
from mlship.bundle.manifest import check_config
from mlship.bundle.source import BundleSource, HasFiles, KeepsParts
from mlship.digest import checked
from mlship.errors import BundleError
from mlship.progress import SILENT, Progress
from mlship.reference import Reference
from mlship_runtime.bundle import canonical
from mlship_runtime.bundle.agreement import check_agreement
from mlship_runtime.bundle.extract import hashed_chunks, indexed_members
from mlship_runtime.bundle.manifest import Descriptor, Manifest, read_manifest
from mlship_runtime.bundle.spec import MAX_SPEC_BYTES, FileEntry, Spec, read_spec
from mlship_runtime.bundle.ustar import ChunkStream, MemberReader, tar_size

MAX_JSON = MAX_SPEC_BYTES


@dataclass(frozen=True)
class OpenBundle:
    """A bundle in a registry whose manifest and spec were read and agree; layers are read when asked for."""

    registry: BundleSource
    reference: Reference
    digest: str
    manifest_bytes: bytes
    manifest: Manifest
    spec: Spec

    @cached_property
    def absent(self) -> frozenset[str]:
        """The layers that are not there, as the bundle came here for some platforms only."""
        if not isinstance(self.registry, KeepsParts):
            return frozenset()
        return self.registry.absent(self.reference.name, self.digest)

    def blob(self, digest: str) -> Iterator[bytes]:
        """The content of a layer, the config or (by the bundle's digest) the manifest; BundleError at its end
        if it is not what its digest says."""
        if digest == self.digest:
            return iter((self.manifest_bytes,))
        if digest in self.absent:
            raise BundleError(
                f"{self._descriptor(digest).title} of {self.reference} is not in {self.registry.url}",
                cause="it was imported or pulled for some platforms only",
                fix="Import a file that has it, or pull the bundle from a registry",
            )
        return _sound(self.registry, self.reference.name, self._descriptor(digest))

    def fetch(self, digest: str, folder: Path) -> Path:
        """`blob` as a new file in `folder`, checked."""
        path = folder / digest.removeprefix("sha256:")
        with path.open("xb") as file:
            for chunk in self.blob(digest):
                file.write(chunk)
        return path

    def file(self, digest: str) -> Path | None:
        """The file of this machine that holds a layer or the config, checked: to read, and never to change;
        None where it lies in no file."""
        if digest == self.digest or digest in self.absent or not isinstance(self.registry, HasFiles):
            return None
        found = self.registry.file_of_blob(self.reference.name, digest)
        if found is not None:
            for _ in self.blob(digest):
                continue
        return found

    def json(self, layer: Descriptor) -> Any:
        """The content of a JSON layer or of the config."""
        return _decoded(_read_small(self.registry, self.reference.name, layer))

    def attached(self, media_type: str) -> Iterator[bytes]:
        """What of this type is attached to the bundle."""
        for attachment in self.registry.attachments(self.reference.name, self.digest):
            if attachment.media_type == media_type:
                yield self.registry.read_attachment(self.reference.name, attachment)

    def golden(self) -> dict[str, Any]:
        """The golden examples: {inputs: […], outputs: […]} as recorded by the build."""
        path, data = self.spec.golden["path"], b""
        layer = next(layer for layer in self.manifest.layers if layer.role == "golden")
        with as_bundle_error():
            for entry, reader in self.files(layer):
                content = hashed_chunks(entry, reader)
                if entry.path != path:
                    continue
                if entry.size > MAX_JSON:
                    raise BundleError(f"{path} is too large", cause=f"at most {MAX_JSON} bytes are read")
                data = b"".join(content)
        golden = _decoded(data)
        if not isinstance(golden, dict):
            raise BundleError(f"{path} is not an object")
        return golden

    def entry(self, path: str) -> FileEntry:
        """What the index says of a file; BundleError if there is none."""
        for entries in self.spec.files.values():
            for entry in entries:
                if entry.path == path:
                    return entry
        raise BundleError(f"{self.reference} has no file {path!a}")

    def read(self, path: str) -> Iterator[bytes]:
        """The content of one file; BundleError at its end if it is not what the index says."""
        wanted = self.entry(path)
        layer = next(x for x in self.manifest.layers if wanted in self.spec.files.get(x.digest, ()))
        with as_bundle_error():
            for entry, reader in self.files(layer):
                if entry.path == path:
                    yield from hashed_chunks(entry, reader)
                    return

    def files(self, layer: Descriptor) -> Iterator[tuple[FileEntry, MemberReader]]:
        """The files of a tar layer, in order, and what reads each; InvalidBundle for damage."""
        stored = self.registry.read_blob(self.reference.name, layer.digest, layer.size)
        return indexed_members(ChunkStream(stored), self.spec.files[layer.digest], layer.digest)

    def _descriptor(self, digest: str) -> Descriptor:
        for blob in self.manifest.blobs:
            if blob.digest == digest:
                return blob
        raise BundleError(f"{self.reference} has no blob {digest[:19]}…")


@dataclass(frozen=True)
class Verified:
    """What was read and found right; `bytes` of its blobs. `absent` are the titles of layers that a bundle
    of some platforms was kept without."""

    files: int
    bytes: int
    absent: tuple[str, ...] = ()


def open_bundle(registry: BundleSource, reference: Reference) -> OpenBundle:
    """Resolve `reference` and read manifest and spec; RegistryError if it names nothing, BundleError if they
    are damaged or disagree."""
    digest = registry.resolve(reference)
    data = registry.read_manifest(reference.name, digest)
    with as_bundle_error():
        manifest = read_manifest(data)
        spec = read_spec(_read_small(registry, reference.name, manifest.spec_layer))
        check_agreement(manifest, spec)
    return OpenBundle(registry, reference, digest, data, manifest, spec)


def verify_bundle(bundle: OpenBundle, progress: Progress = SILENT) -> Verified:
    """Read everything and hold it against manifest and index; BundleError for the first thing that is wrong.

    `progress` is told the bytes of each blob, within whatever phase it is in.
    """
    manifest, files, absent = bundle.manifest, 0, bundle.absent
    check_config(bundle.json(manifest.config), (layer.digest for layer in manifest.layers))
    progress.advance(manifest.config.size)
    for layer in manifest.layers:
        if layer.is_tar and layer.digest not in absent:
            files += _verify_layer(bundle, layer)
        progress.advance(layer.size)
    read = sum(blob.size for blob in manifest.blobs if blob.digest not in absent)
    return Verified(files, read, tuple(x.title for x in manifest.layers if x.digest in absent))


def _verify_layer(bundle: OpenBundle, layer: Descriptor) -> int:
    entries = bundle.spec.files[layer.digest]
    if tar_size(entry.size for entry in entries) != layer.size:
        raise BundleError(f"{layer.title} cannot hold what its index lists", cause="the sizes do not add up")
    with damage_placed(bundle.registry.url, layer):
        for entry, reader in bundle.files(layer):
            for _ in hashed_chunks(entry, reader):
                continue
    return len(entries)


def _read_small(registry: BundleSource, name: str, blob: Descriptor) -> bytes:
    if blob.size > MAX_JSON:
        raise BundleError(
            f"{blob.title or 'the config'} is too large", cause=f"at most {MAX_JSON} bytes are read"
        )
    return b"".join(_sound(registry, name, blob))


def _sound(registry: BundleSource, name: str, blob: Descriptor) -> Iterator[bytes]:
    with damage_placed(registry.url, blob):
        yield from checked(registry.read_blob(name, blob.digest, blob.size), blob.digest, blob.size)


def _decoded(data: bytes) -> Any:
    with as_bundle_error():
        return canonical.decode(data, max_bytes=MAX_JSON)
