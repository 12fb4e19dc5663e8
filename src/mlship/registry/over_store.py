"""A registry over any Store: blobs by digest, manifests by name and digest, tags by name.

blobs/sha256/<hex>      manifests/<name>/<hex>      tags/<name>/<tag> = {"digest": …, "schemaVersion": 1}
attachments/<name>/<hex of the bundle>/<hex of its content> = {"mediaType": …, "schemaVersion": 1, "size": …}

Where a project keeps its own bundles, one may lie without the layers of some platforms:
partial/<name>/<hex> = {"absent": {digest: title}, "schemaVersion": 1}
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mlship.bundle.fault import as_bundle_error
from mlship.bundle.source import Attachment
from mlship.digest import checked, chunks_of, hex_of, sha256
from mlship.errors import BundleError, RegistryError, TagMovedError
from mlship.reference import Reference, check_name, check_tag
from mlship.registry import unknown
from mlship.registry.protocol import MAX_ATTACHMENT, Tagged
from mlship.store.folder import FolderStore
from mlship.store.protocol import Store
from mlship_runtime.bundle import canonical
from mlship_runtime.bundle.fields import Fields
from mlship_runtime.bundle.manifest import Descriptor, read_manifest

TAG_SCHEMA = 1
ATTACHMENT_SCHEMA = 1
PARTIAL_SCHEMA = 1


def open_folder(url: str) -> StoreRegistry:
    """The registry at a `dir://` URL."""
    return StoreRegistry(FolderStore(url))


class StoreRegistry:
    """See Registry. Keeps nothing in memory: each call reads the Store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    @property
    def url(self) -> str:
        return self.store.url

    def names(self) -> list[str]:
        kinds = (self.store.list("manifests/"), self.store.list("tags/"))
        return sorted({key.split("/")[1] for keys in kinds for key in keys})

    def tags(self, name: str) -> dict[str, str]:
        found = {}
        for key in self.store.list(f"tags/{check_name(name)}/"):
            tag = key.rpartition("/")[2]
            tagged = self.read_tag(name, tag)
            if tagged:
                found[tag] = tagged.digest
        return found

    def digests(self, name: str) -> list[str]:
        keys = self.store.list(f"manifests/{check_name(name)}/")
        return ["sha256:" + key.rpartition("/")[2] for key in keys]

    def resolve(self, reference: Reference) -> str:
        if reference.digest:
            if self.store.stat(_manifest_key(reference.name, reference.digest)) is None:
                raise unknown.digest(self, reference.name, reference.digest)
            return reference.digest
        tagged = self.read_tag(reference.name, reference.tag_or_latest)
        if tagged is None:
            raise unknown.tag(self, reference.name, reference.tag_or_latest)
        return tagged.digest

    def read_manifest(self, name: str, digest: str) -> bytes:
        found = self.store.get(_manifest_key(name, digest))
        if found is None:
            raise unknown.digest(self, name, digest)
        if sha256(found[0]) != digest:
            raise BundleError(
                f"the manifest {digest[:19]}… of {name} in {self.url} is not what its digest says",
                cause="it was damaged or exchanged there",
                fix="Use another registry that has it whole",
            )
        return found[0]

    def write_manifest(self, name: str, data: bytes) -> str:
        with as_bundle_error():
            manifest = read_manifest(data)
        self._check_blobs(name, manifest.blobs)
        digest = sha256(data)
        self.store.write_if_absent(_manifest_key(name, digest), [data], len(data))
        return digest

    def write_partial_manifest(self, name: str, data: bytes, absent: frozenset[str]) -> str:
        """As `write_manifest`, but the layers `absent` may be missing, and it is remembered. A manifest that
        is here already stays as it is."""
        with as_bundle_error():
            manifest = read_manifest(data)
        digest = sha256(data)
        if self.store.stat(_manifest_key(name, digest)) is None:
            self._check_blobs(name, [blob for blob in manifest.blobs if blob.digest not in absent])
            self._remember(name, digest, {x.digest: x.title for x in manifest.blobs if x.digest in absent})
            self.store.write_if_absent(_manifest_key(name, digest), [data], len(data))
        return digest

    def absent(self, name: str, digest: str) -> frozenset[str]:
        """The layers that a bundle was kept without, and that are still not here."""
        found = self.store.get(_partial_key(name, digest))
        if found is None:
            return frozenset()
        with as_bundle_error():
            fields = Fields(_decoded(found[0]), f"the record of absent layers of {name} in {self.url}")
            fields.schema_version(PARTIAL_SCHEMA)
            absent = fields.texts("absent")
        return frozenset(digest for digest in absent if not self.has_blob(name, digest))

    def _remember(self, name: str, digest: str, absent: dict[str, str]) -> None:
        key = _partial_key(name, digest)
        before = self.store.get(key)
        record = {"schemaVersion": PARTIAL_SCHEMA, "absent": absent}
        version = before[1] if before else None
        if self.store.write_if_match(key, canonical.encode(record), version) is None:
            raise RegistryError(f"{name} is being imported by somebody else", fix="Import it again")

    def has_blob(self, name: str, digest: str) -> bool:
        return self.store.stat(_blob_key(digest)) is not None

    def read_blob(self, name: str, digest: str, size: int) -> Iterator[bytes]:
        return self.store.read(_blob_key(digest))

    def write_blob(self, name: str, digest: str, size: int, chunks: Iterable[bytes]) -> bool:
        return self.store.write_if_absent(_blob_key(digest), checked(chunks, digest, size), size)

    def file_of_blob(self, name: str, digest: str) -> Path | None:
        return self.store.file_of(_blob_key(digest)) if isinstance(self.store, FolderStore) else None

    def adopt_blob(self, name: str, digest: str, size: int, file: Path) -> bool:
        if not isinstance(self.store, FolderStore):
            return self.write_blob(name, digest, size, chunks_of(file))
        for _ in checked(chunks_of(file), digest, size):
            continue
        return self.store.adopt(_blob_key(digest), file)

    def attach(self, name: str, digest: str, media_type: str, data: bytes) -> Attachment:
        if len(data) > MAX_ATTACHMENT:
            raise RegistryError(
                f"{len(data)} bytes cannot be attached to {name}", cause=f"at most {MAX_ATTACHMENT} can"
            )
        if self.store.stat(_manifest_key(name, digest)) is None:
            raise unknown.digest(self, name, digest)
        attachment = Attachment(media_type, sha256(data), len(data))
        self.write_blob(name, attachment.digest, attachment.size, [data])
        record = {"schemaVersion": ATTACHMENT_SCHEMA, "mediaType": media_type, "size": len(data)}
        key = _attachments_prefix(name, digest) + hex_of(attachment.digest)
        self.store.write_if_absent(key, [canonical.encode(record)])
        return attachment

    def attachments(self, name: str, digest: str) -> list[Attachment]:
        keys = self.store.list(_attachments_prefix(name, digest))
        return sorted(found for key in keys if (found := self._attachment(key)))

    def read_attachment(self, name: str, attachment: Attachment) -> bytes:
        stored = self.store.read(_blob_key(attachment.digest))
        try:
            return b"".join(checked(stored, attachment.digest, attachment.size))
        except BundleError as error:
            raise BundleError(
                f"what is attached to {name} in {self.url} is damaged: {error.what}",
                cause=error.cause,
                fix=f"Remove {attachment.digest} there, then sign or push again",
            ) from error

    def read_tag(self, name: str, tag: str) -> Tagged | None:
        found = self.store.get(_tag_key(name, tag))
        return Tagged(self._digest_in(found[0], name, tag), found[1]) if found else None

    def set_tag(self, name: str, tag: str, digest: str, expected: Tagged | None) -> Tagged:
        if self.store.stat(_manifest_key(name, digest)) is None:
            raise unknown.digest(self, name, digest)
        data = canonical.encode({"schemaVersion": TAG_SCHEMA, "digest": digest})
        version = self.store.write_if_match(_tag_key(name, tag), data, expected.version if expected else None)
        if version is None:
            raise _moved(name, tag)
        return Tagged(digest, version)

    def delete_tag(self, name: str, tag: str, expected: Tagged) -> None:
        if not self.store.delete_if_match(_tag_key(name, tag), expected.version):
            raise _moved(name, tag)

    def _check_blobs(self, name: str, blobs: Iterable[Descriptor]) -> None:
        for blob in blobs:
            stat = self.store.stat(_blob_key(blob.digest))
            if stat is None:
                raise RegistryError(
                    f"{name} cannot be published in {self.url}",
                    cause=f"its blob {blob.title or 'config'} ({blob.digest[:19]}…) is not there",
                    fix="Push the bundle again",
                )
            if stat.size != blob.size:
                raise BundleError(
                    f"the blob {blob.digest[:19]}… in {self.url} has {stat.size} bytes and not {blob.size}",
                    cause="it was damaged there",
                    fix="Remove that file, then push again",
                )

    def _attachment(self, key: str) -> Attachment | None:
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

    def _digest_in(self, data: bytes, name: str, tag: str) -> str:
        with as_bundle_error():
            fields = Fields(_decoded(data), f"the tag {name}:{tag} in {self.url}")
            fields.schema_version(TAG_SCHEMA)
            return fields.digest("digest")


def _decoded(data: bytes) -> Any:
    return canonical.decode(data, max_bytes=1 << 16)


def _blob_key(digest: str) -> str:
    return f"blobs/sha256/{hex_of(digest)}"


def _manifest_key(name: str, digest: str) -> str:
    return f"manifests/{check_name(name)}/{hex_of(digest)}"


def _attachments_prefix(name: str, digest: str) -> str:
    return f"attachments/{check_name(name)}/{hex_of(digest)}/"


def _partial_key(name: str, digest: str) -> str:
    return f"partial/{check_name(name)}/{hex_of(digest)}"


def _tag_key(name: str, tag: str) -> str:
    return f"tags/{check_name(name)}/{check_tag(tag)}"


def _moved(name: str, tag: str) -> TagMovedError:
    return TagMovedError(
        f"the tag {name}:{tag} was moved by somebody else meanwhile",
        fix="Look what it names now (mlship list), then repeat the command if you still want it",
    )
