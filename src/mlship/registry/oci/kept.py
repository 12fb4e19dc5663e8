"""Bundles' manifests as a registry keeps them: as they are, or carried by an image where it refuses them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from mlship.bundle.source import Attachment
from mlship.digest import is_digest, sha256
from mlship.registry.oci.carrier import (
    Carrier,
    attached_tag,
    attachment_carrier,
    attachment_tag,
    bundle_carrier,
    bundle_tag,
    carried_attachment,
    carried_bundle,
    is_attachment_tag,
)
from mlship.registry.oci.documents import Documents
from mlship.registry.oci.profiles import Profile, refuses_form
from mlship.registry.oci.referrers import MOST_ATTACHED
from mlship.registry.oci.trouble import Refused
from mlship_runtime.bundle.manifest import MANIFEST_TYPE


class Blobs(Protocol):
    """Where the blobs of a bundle are. See Registry."""

    def read_blob(self, name: str, digest: str, size: int) -> Iterator[bytes]: ...
    def write_blob(self, name: str, digest: str, size: int, chunks: Iterable[bytes]) -> bool: ...


@dataclass(frozen=True)
class Found:
    """A bundle's `manifest`, and the document that stands for it in the registry: itself, or its carrier."""

    manifest: bytes
    stored: bytes
    media_type: str


class Kept:
    """The manifests of one registry. `repository` maps a bundle's name to its place."""

    def __init__(
        self, documents: Documents, blobs: Blobs, profile: Profile, repository: Callable[[str], str]
    ) -> None:
        self.documents, self.blobs = documents, blobs
        self.profile, self._repository = profile, repository

    def digest_of(self, name: str, reference: str) -> str | None:
        """The digest of the bundle that a tag or digest names; None if there is none. Of what is no bundle,
        its own."""
        repository = self._repository(name)
        if not self.profile.carriers:
            return self.documents.digest_of(repository, reference)
        data = self.documents.read(repository, reference)
        if data is None:
            return reference if is_digest(reference) and self._carrier_of(name, reference) else None
        carried = carried_bundle(data)
        return carried[0] if carried else sha256(data)

    def find(self, name: str, digest: str) -> Found | None:
        """The bundle `digest`, not compared with that yet; None if there is none."""
        repository = self._repository(name)
        data = self.documents.read(repository, digest)
        if data is not None:
            return Found(data, data, MANIFEST_TYPE)
        carrier = self._carrier_of(name, digest) if self.profile.carriers else None
        if carrier is None:
            return None
        stored, size, media_type = carrier
        return Found(b"".join(self.blobs.read_blob(name, digest, size)), stored, media_type)

    def write(self, name: str, data: bytes) -> None:
        """Publish a bundle's manifest, in the first form that is taken. Raises Refused, of the first."""
        repository, digest = self._repository(name), sha256(data)

        def carried(carrier: Carrier) -> None:
            self.blobs.write_blob(name, digest, len(data), [data])
            self._put(name, carrier, bundle_tag(digest))

        try:
            self.documents.write(repository, digest, data, MANIFEST_TYPE)
        except Refused as refusal:
            self._instead(refusal, (bundle_carrier(data, form) for form in self.profile.carriers), carried)

    def tag(self, name: str, tag: str, found: Found) -> None:
        """Let `tag` name what was found."""
        self.documents.write(self._repository(name), tag, found.stored, found.media_type)

    def attach_instead(self, name: str, digest: str, attachment: Attachment, refusal: Refused) -> None:
        """Carry an attachment whose own manifest met with `refusal`; raises that if nothing helps."""

        def carried(carrier: Carrier) -> None:
            self._put(name, carrier, attachment_tag(digest, attachment))
            self._put(name, carrier, attached_tag(digest))

        self._instead(
            refusal, (attachment_carrier(digest, attachment, x) for x in self.profile.carriers), carried
        )

    def attachments(self, name: str, digest: str) -> list[Attachment]:
        """Those that are carried."""
        repository = self._repository(name)
        if not self.profile.carriers or self.documents.digest_of(repository, attached_tag(digest)) is None:
            return []
        tags = [tag for tag in self.documents.tags(repository) if is_attachment_tag(tag, digest)]
        read = (self.documents.read(repository, tag) for tag in tags[:MOST_ATTACHED])
        found = (carried_attachment(data, digest) for data in read if data is not None)
        return [attachment for attachment in found if attachment]

    def _instead(
        self, refusal: Refused, carriers: Iterable[Carrier], write: Callable[[Carrier], None]
    ) -> None:
        if not refuses_form(refusal):
            raise refusal
        for carrier in carriers:
            try:
                return write(carrier)
            except Refused as again:
                if not refuses_form(again):
                    raise
        raise refusal

    def _put(self, name: str, carrier: Carrier, tag: str) -> None:
        self.blobs.write_blob(name, sha256(carrier.config), len(carrier.config), [carrier.config])
        self.documents.write(self._repository(name), tag, carrier.manifest, carrier.media_type)

    def _carrier_of(self, name: str, digest: str) -> tuple[bytes, int, str] | None:
        """The image that carries the bundle `digest`, the size of its manifest, and the image's type."""
        data = self.documents.read(self._repository(name), bundle_tag(digest))
        carried = carried_bundle(data) if data else None
        if data is None or carried is None or carried[0] != digest:
            return None
        types = (form.manifest for form in self.profile.carriers if f'"{form.manifest}"'.encode() in data)
        return data, carried[1], next(types, MANIFEST_TYPE)
