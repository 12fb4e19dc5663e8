"""What is attached to a bundle, as its file has it: after the layers, and in memory while it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from mlship.bundle.exchange.layout import (
    MAX_ATTACHED,
    MAX_ATTACHMENTS,
    Index,
    Referrer,
    blob_path,
    carried_beside,
)
from mlship.bundle.exchange.referrer import (
    EMPTY,
    MAX_REFERRER,
    Subject,
    check_media_type,
    read_referrer,
    write_referrer,
)
from mlship.bundle.open import OpenBundle
from mlship.bundle.source import Attachment, BundleSource
from mlship.digest import checked, sha256
from mlship.errors import RegistryError
from mlship_runtime.bundle.manifest import Manifest
from mlship_runtime.errors import InvalidBundle


@dataclass(frozen=True)
class Said:
    """The attachments that a file takes along, as index.json lists them, and the blobs that they add to it:
    bytes, or what is to be read when its turn comes."""

    referrers: tuple[Referrer, ...]
    blobs: dict[str, bytes | Attachment]


def attached_to(bundle: OpenBundle) -> Said:
    """All that is attached to `bundle` where it lies. Raises RegistryError if that is more than a file takes,
    InvalidBundle for something of a type that is none."""
    found = carried_beside(bundle.manifest, bundle.registry.attachments(bundle.reference.name, bundle.digest))
    if why := _too_much(found):
        raise RegistryError(f"{bundle.reference} has too much attached to it for a file", cause=why)
    subject = Subject(bundle.digest, len(bundle.manifest_bytes))
    blobs: dict[str, bytes | Attachment] = {sha256(EMPTY): EMPTY} if found else {}
    referrers = []
    for attachment in found:
        data = write_referrer(subject, attachment)
        referrers.append(Referrer(check_media_type(attachment.media_type), sha256(data), len(data)))
        blobs |= {sha256(data): data, attachment.digest: attachment}
    return Said(tuple(referrers), blobs)


def content(source: BundleSource, name: str, blob: bytes | Attachment) -> bytes:
    """The bytes of a blob of `Said`."""
    return blob if isinstance(blob, bytes) else source.read_attachment(name, blob)


def read_attached(
    index: Index, manifest: Manifest, small: Callable[[str, int], bytes]
) -> list[tuple[Attachment, bytes]]:
    """The attachments that come next in a file, with their content; `small` reads the blob at a path, which
    has at most so many bytes. Raises InvalidBundle for anything that `attached_to` would not have written."""
    held: dict[str, bytes] = {}

    def blob(digest: str, size: int) -> bytes:
        if digest not in held:
            held[digest] = b"".join(checked([small(blob_path(digest), size)], digest, size))
        return held[digest]

    if index.referrers:
        blob(sha256(EMPTY), len(EMPTY))
    found: list[Attachment] = []
    for referrer in index.referrers:
        if referrer.size > MAX_REFERRER:
            raise InvalidBundle(f"the manifest of an attachment has {referrer.size} bytes")
        attachment = read_referrer(blob(referrer.digest, referrer.size), index.subject)
        if attachment.media_type != referrer.artifact_type:
            raise InvalidBundle(f"an attachment is {attachment.media_type}, not {referrer.artifact_type}")
        found.append(attachment)
        if why := _too_much(found):
            raise InvalidBundle("the file has too many attachments", cause=why)
        blob(attachment.digest, attachment.size)
    if found != carried_beside(manifest, found):
        raise InvalidBundle("the attachments are out of order, or one repeats a blob of the bundle")
    return [(attachment, held[attachment.digest]) for attachment in found]


def _too_much(found: Iterable[Attachment]) -> str:
    sizes = [attachment.size for attachment in found]
    if len(sizes) > MAX_ATTACHMENTS:
        return f"{len(sizes)} attachments, where at most {MAX_ATTACHMENTS} can be"
    if sum(sizes) > MAX_ATTACHED:
        return f"{sum(sizes)} bytes are attached, where at most {MAX_ATTACHED} can be"
    return ""
