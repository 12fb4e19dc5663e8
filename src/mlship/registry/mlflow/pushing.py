"""One push of one bundle: blobs into its place, then manifest and MLmodel, then a version of the model.

Nobody sees a bundle there before its version is; what a push that died has left is found by its digest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from threading import Lock

from mlship.bundle.exchange.layout import blob_path
from mlship.bundle.fault import as_bundle_error, damage_placed
from mlship.digest import checked, hex_of, sha256
from mlship.errors import BundleError, RegistryError
from mlship.registry.again import again
from mlship.registry.mlflow import served
from mlship.registry.mlflow.artifacts import Folder
from mlship.registry.mlflow.catalogue import DIGEST, NAME, Catalogue
from mlship.registry.mlflow.client import Client
from mlship.registry.mlflow.drafts import Draft, Drafts
from mlship.registry.protocol import BlobsMissingError
from mlship_runtime.bundle.canonical import MAX_BYTES
from mlship_runtime.bundle.manifest import Manifest, read_manifest
from mlship_runtime.bundle.spec import MAX_SPEC_BYTES, Spec, read_spec

BLOBS = "blobs/sha256"


class Pushing:
    """The push of the bundle `digest`, called `name`, into the registered model `model`."""

    def __init__(
        self, client: Client, catalogue: Catalogue, drafts: Drafts, model: str, name: str, digest: str
    ) -> None:
        self.client, self.catalogue, self.drafts = client, catalogue, drafts
        self.model, self.name, self.digest = model, name, digest
        self._folder: Folder | None = None
        self._draft: Draft | None = None
        self._others: frozenset[int] = frozenset()  # versions that say they are this bundle, and are not
        self._sizes: dict[str, int] = {}  # what lies there, by digits
        self._lock = Lock()

    def find(self, registered: Mapping[int, Folder]) -> None:
        """Look where the bundle lies: in a version that is really it, else where a push was begun.
        `registered` are the versions that say they are, by number. RegistryError if the registered model is
        another bundle's."""
        self._check_name()
        for folder in registered.values():
            sizes = folder.listed(BLOBS)
            if hex_of(self.digest) in sizes:
                self._folder, self._sizes = folder, sizes
                return
        self._others = frozenset(registered)
        self._draft = self.drafts.find(self.name, self.digest)
        if self._draft:
            self._folder = Folder(self.client, self._draft.uri)
            self._sizes = self._folder.listed(BLOBS)

    def has(self, digest: str) -> bool:
        return hex_of(digest) in self._sizes

    def write(self, digest: str, size: int, chunks: Iterable[bytes]) -> bool:
        """As `write_blob` of a registry."""
        digits = hex_of(digest)
        if self._sizes.get(digits) == size:
            return False
        content = again(chunks)
        self._begun().write(blob_path(digest), size, lambda: checked(content(), digest, size))
        self._sizes[digits] = size
        return True

    def publish(self, data: bytes) -> str:
        """As `write_manifest` of a registry: complete the folder, then register a version."""
        with as_bundle_error():
            manifest = read_manifest(data)
        if sha256(data) != self.digest:
            raise RegistryError(f"another manifest of {self.name} was announced than is written")
        folder = self._begun()
        self._check_blobs(folder, manifest)
        if self._draft is None:  # a version has it
            if folder.read(blob_path(self.digest), MAX_BYTES) != data:
                folder.write(blob_path(self.digest), len(data), [data].copy)
            return self.digest
        spec = self._spec(folder, manifest)
        for name, content in served.files(data, spec):
            folder.write(name, len(content), [content].copy)
        self.drafts.finish(self._draft)
        self.catalogue.create(self.model)
        tags = {DIGEST: self.digest, NAME: self.name, **served.tags(spec)}
        self.client.repeat(partial(self._register, self._draft.model_id, tags))
        return self.digest

    def _register(self, model_id: str, tags: dict[str, str]) -> None:
        """Make a version, unless an attempt before was heard or somebody was faster; of two that were made
        at the same time the first stays."""
        if self._numbers():
            return
        made = self.catalogue.create_version(self.model, model_id, tags)
        first = min(self._numbers(), default=made)
        if made != first and made not in (self.catalogue.named(self.model) or {}).values():
            self.catalogue.delete_version(self.model, made)

    def _numbers(self) -> list[int]:
        versions = self.catalogue.versions(self.model)
        found = [x.number for x in versions if (x.name, x.digest) == (self.name, self.digest)]
        return [number for number in found if number not in self._others]

    def _check_name(self) -> None:
        others = {x.name for x in self.catalogue.versions(self.model) if x.digest} - {self.name}
        if others:
            raise RegistryError(
                f"{self.name} cannot be a version of {self.model} in {self.client.url}",
                cause=f"its versions are the bundle {', '.join(sorted(others))}",
                fix="Leave the model out of the URL, or name another",
            )

    def _begun(self) -> Folder:
        with self._lock:
            if self._folder is None:
                self._draft = self.drafts.begin(self.name, self.digest)
                self._folder = Folder(self.client, self._draft.uri)
            return self._folder

    def _check_blobs(self, folder: Folder, manifest: Manifest) -> None:
        """Look anew: a server that was killed may have kept half of a blob, and that is sent again."""
        self._sizes = folder.listed(BLOBS)
        wrong = [blob for blob in manifest.blobs if self._sizes.get(hex_of(blob.digest)) != blob.size]
        for blob in wrong:
            self._sizes.pop(hex_of(blob.digest), None)
        if wrong:
            raise BlobsMissingError(
                f"{self.name} cannot be published in {self.client.url}",
                cause=f"blobs are not there: {', '.join(f'{blob.digest[:19]}…' for blob in wrong)}",
                fix="Push the bundle again",
            )

    def _spec(self, folder: Folder, manifest: Manifest) -> Spec:
        """The spec as it lies there now."""
        layer = manifest.spec_layer
        if layer.size > MAX_SPEC_BYTES:
            raise BundleError(f"{layer.title} is too large", cause=f"at most {MAX_SPEC_BYTES} bytes are read")
        pieces = folder.pieces(blob_path(layer.digest), layer.digest, layer.size)
        with damage_placed(self.client.url, layer):
            return read_spec(b"".join(checked(pieces, layer.digest, layer.size)))
