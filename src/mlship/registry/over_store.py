"""A registry over any Store: blobs by digest, manifests by name and digest, tags by name (see keys.py).

Where a project keeps its own bundles, one may lie without the layers of some platforms.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from mlship.bundle.fault import as_bundle_error
from mlship.bundle.source import MAX_ATTACHMENT, Attachment
from mlship.digest import checked, chunks_of, hex_of, sha256
from mlship.errors import BundleError, RegistryError
from mlship.reference import Reference, check_name
from mlship.registry import intents, keys, unknown
from mlship.registry.attached import whole
from mlship.registry.protocol import Listed, Move, Tagged
from mlship.registry.tags import Tags
from mlship.store.folder import FolderStore
from mlship.store.protocol import Store, settle
from mlship_runtime.bundle import canonical
from mlship_runtime.bundle.fields import Fields
from mlship_runtime.bundle.manifest import Descriptor, Manifest, read_manifest
from mlship_runtime.errors import InvalidBundle

ATTACHMENT_SCHEMA = 1
PARTIAL_SCHEMA = 1


def open_folder(url: str) -> StoreRegistry:
    """The registry at a `dir://` URL."""
    return StoreRegistry(FolderStore(url))


class StoreRegistry:
    """See Registry. Keeps nothing in memory: each call reads the Store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.named = Tags(store)

    @property
    def url(self) -> str:
        return self.store.url

    def names(self) -> list[str]:
        return sorted({listed.name for listed in self.listed()})

    def tags(self, name: str) -> dict[str, str]:
        return {listed.tag: listed.digest for listed in self.named.listed(check_name(name))}

    def listed(self, name: str | None = None) -> list[Listed]:
        manifests = [key.split("/") for key in keys.listed(self.store, "manifests", name)]
        found = [Listed(bundle, "", f"sha256:{digits}") for _, bundle, digits in manifests]
        return found + list(self.named.listed(name))

    def moves(self, name: str, tag: str) -> list[Move]:
        return self.named.moves(name, tag)

    def announced(self, name: str, manifest: str, blobs: Collection[str]) -> AbstractContextManager[None]:
        needs = {keys.manifest(name, manifest), *(keys.blob(blob) for blob in blobs)}
        return intents.announced(self.store, needs)

    def digests(self, name: str) -> list[str]:
        return ["sha256:" + key.rpartition("/")[2] for key in keys.listed(self.store, "manifests", name)]

    def has_manifest(self, name: str, digest: str) -> bool:
        return self.store.stat(keys.manifest(name, digest)) is not None

    def resolve(self, reference: Reference) -> str:
        if reference.digest:
            if not self.has_manifest(reference.name, reference.digest):
                raise unknown.digest(self, reference.name, reference.digest)
            return reference.digest
        tagged = self.read_tag(reference.name, reference.tag_or_latest)
        if tagged is None:
            raise unknown.tag(self, reference.name, reference.tag_or_latest)
        return tagged.digest

    def read_manifest(self, name: str, digest: str) -> bytes:
        found = self.store.get(keys.manifest(name, digest))
        if found is None:
            raise unknown.digest(self, name, digest)
        if sha256(found[0]) != digest:
            raise BundleError(
                f"the manifest {digest[:19]}… of {name} in {self.url} is not what its digest says",
                cause="it was damaged or exchanged there",
                fix="Use another registry that has it whole",
            )
        return found[0]

    def manifest_at(self, key: str) -> Manifest:
        """What lies under the key of a manifest. Raises BundleError that names it, RegistryError if it is not
        there."""
        _, name, digits = key.split("/")
        data = self.read_manifest(name, f"sha256:{digits}")
        try:
            return read_manifest(data)
        except InvalidBundle as fault:
            raise BundleError(
                f"{key} in {self.url} is no manifest of a bundle",
                cause=str(fault),
                fix="Remove it there, if nobody needs it",
            ) from fault

    def write_manifest(self, name: str, data: bytes) -> str:
        with as_bundle_error():
            manifest = read_manifest(data)
        self._check_blobs(name, manifest.blobs)
        settle(self.store, [keys.blob(blob.digest) for blob in manifest.blobs])
        digest = sha256(data)
        self.store.write_if_absent(keys.manifest(name, digest), [data], len(data))
        return digest

    def write_partial_manifest(self, name: str, data: bytes, absent: frozenset[str]) -> str:
        """As `write_manifest`, but the layers `absent` may be missing, and it is remembered. A manifest that
        is here already stays as it is."""
        with as_bundle_error():
            manifest = read_manifest(data)
        digest = sha256(data)
        if self.store.stat(keys.manifest(name, digest)) is not None:
            settle(self.store, [keys.manifest(name, digest)])
        else:
            here = [blob for blob in manifest.blobs if blob.digest not in absent]
            self._check_blobs(name, here)
            settle(self.store, [keys.blob(blob.digest) for blob in here])
            self._remember(name, digest, {x.digest: x.title for x in manifest.blobs if x.digest in absent})
            self.store.write_if_absent(keys.manifest(name, digest), [data], len(data))
        return digest

    def absent(self, name: str, digest: str) -> frozenset[str]:
        """The layers that a bundle was kept without, and that are still not here."""
        found = self.store.get(keys.partial(name, digest))
        if found is None:
            return frozenset()
        with as_bundle_error():
            fields = Fields(_decoded(found[0]), f"the record of absent layers of {name} in {self.url}")
            fields.schema_version(PARTIAL_SCHEMA)
            absent = fields.texts("absent")
        return frozenset(digest for digest in absent if not self.has_blob(name, digest))

    def _remember(self, name: str, digest: str, absent: dict[str, str]) -> None:
        key = keys.partial(name, digest)
        before = self.store.get(key)
        record = {"schemaVersion": PARTIAL_SCHEMA, "absent": absent}
        version = before[1] if before else None
        if self.store.write_if_match(key, canonical.encode(record), version) is None:
            raise RegistryError(f"{name} is being imported by somebody else", fix="Import it again")

    def has_blob(self, name: str, digest: str) -> bool:
        return self.store.stat(keys.blob(digest)) is not None

    def read_blob(self, name: str, digest: str, size: int) -> Iterator[bytes]:
        return self.store.read(keys.blob(digest))

    def write_blob(self, name: str, digest: str, size: int, chunks: Iterable[bytes]) -> bool:
        return self.store.write_if_absent(keys.blob(digest), checked(chunks, digest, size), size)

    def file_of_blob(self, name: str, digest: str) -> Path | None:
        return self.store.file_of(keys.blob(digest)) if isinstance(self.store, FolderStore) else None

    @property
    def takes_files(self) -> bool:
        return isinstance(self.store, FolderStore)

    def adopt_blob(self, name: str, digest: str, size: int, file: Path) -> bool:
        if not isinstance(self.store, FolderStore):
            return self.write_blob(name, digest, size, chunks_of(file))
        for _ in checked(chunks_of(file), digest, size):
            continue
        return self.store.adopt(keys.blob(digest), file)

    def attach(self, name: str, digest: str, media_type: str, data: bytes) -> Attachment:
        if len(data) > MAX_ATTACHMENT:
            raise RegistryError(
                f"{len(data)} bytes cannot be attached to {name}", cause=f"at most {MAX_ATTACHMENT} can"
            )
        attachment = Attachment(media_type, sha256(data), len(data))
        with self.announced(name, digest, [attachment.digest]):
            if self.store.stat(keys.manifest(name, digest)) is None:
                raise unknown.digest(self, name, digest)
            self.write_blob(name, attachment.digest, attachment.size, [data])
            key = keys.attachments(name, digest) + hex_of(attachment.digest)
            self.store.write_if_absent(key, [record_of(attachment)])
        return attachment

    def attachments(self, name: str, digest: str) -> list[Attachment]:
        attached = keys.listed(self.store, "attachments", keys.attachments(name, digest))
        return sorted(found for key in attached if (found := self.attachment_at(key)))

    def read_attachment(self, name: str, attachment: Attachment) -> bytes:
        stored = self.store.read(keys.blob(attachment.digest))
        return whole(stored, name, attachment, self.url)

    def read_tag(self, name: str, tag: str) -> Tagged | None:
        return self.named.read(name, tag)

    def set_tag(
        self, name: str, tag: str, digest: str, expected: Tagged | None, *, source: str = ""
    ) -> Tagged:
        key = keys.manifest(name, digest)
        if self.store.stat(key) is None:
            raise unknown.digest(self, name, digest)
        settle(self.store, [key])
        tagged = self.named.set(name, tag, digest, expected, source)
        intents.stand_clear(self.store, {key})
        if self.store.stat(key) is None:  # collected before the tag was seen
            self.named.delete(name, tag, tagged)
            raise unknown.digest(self, name, digest)
        return tagged

    def settle(self, name: str, digest: str, tag: str | None) -> None:
        attached = keys.listed(self.store, "attachments", keys.attachments(name, digest))
        settle(self.store, [*attached, *([keys.tag(name, tag)] if tag else [])])

    def delete_tag(self, name: str, tag: str, expected: Tagged) -> None:
        self.named.delete(name, tag, expected)

    def read_policy(self) -> tuple[bytes, str] | None:
        return self.store.get(keys.POLICY)

    def write_policy(self, data: bytes, version: str | None) -> bool:
        return self.store.write_if_match(keys.POLICY, data, version) is not None

    def _check_blobs(self, name: str, blobs: Iterable[Descriptor]) -> None:
        for blob in blobs:
            stat = self.store.stat(keys.blob(blob.digest))
            if stat is None:
                raise RegistryError(
                    f"{name} cannot be published in {self.url}",
                    cause=f"its blob {blob.title or 'config'} ({blob.digest[:19]}…) is not there",
                    fix="Push the bundle again",
                )
            if stat.size != blob.size:
                raise BundleError(
                    f"the blob {blob.digest[:19]}… in {self.url} has {stat.size} bytes and not {blob.size}",
                    cause="it was damaged there, or the manifest says a wrong size",
                    fix="mlship fsck tells whether it is damaged, and mends it with --repair",
                )

    def attachment_at(self, key: str) -> Attachment | None:
        """What the record under `key` says; None if it is not there. Raises BundleError if it is damaged."""
        found = self.store.get(key)
        if found is None:  # removed meanwhile
            return None
        with as_bundle_error():
            fields = Fields(_decoded(found[0]), f"{key} in {self.url}")
            fields.schema_version(ATTACHMENT_SCHEMA)
            digest, size = "sha256:" + key.rpartition("/")[2], fields.number("size")
            if size > MAX_ATTACHMENT:
                raise fields.wrong("size", f"is more than {MAX_ATTACHMENT}")
            return Attachment(fields.text("mediaType", 200), digest, size)


def record_of(attachment: Attachment) -> bytes:
    """What lies under the key of an attachment."""
    return canonical.encode(
        {
            "schemaVersion": ATTACHMENT_SCHEMA,
            "mediaType": attachment.media_type,
            "size": attachment.size,
        }
    )


def _decoded(data: bytes) -> Any:
    return canonical.decode(data, max_bytes=1 << 16)
