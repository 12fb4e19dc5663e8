"""What is attached to a bundle: small OCI manifests whose `subject` is the bundle's.

Registries of OCI 1.1 list them; for others the list is an index under the tag `sha256-<hex>`, which is read,
extended and written: since nothing there can be compared and set, it is read again afterwards.
Source: OCI distribution specification 1.1, "Referrers Tag Schema".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from mlship.bundle.fault import as_bundle_error
from mlship.bundle.source import MAX_ATTACHMENT, Attachment
from mlship.digest import hex_of, sha256
from mlship.errors import RegistryError
from mlship.registry.oci.documents import INDEX_TYPE, Documents
from mlship.registry.oci.trouble import NotLetIn, Refused
from mlship_runtime.bundle import canonical
from mlship_runtime.bundle.fields import Fields
from mlship_runtime.bundle.manifest import MANIFEST_TYPE
from mlship_runtime.errors import InvalidBundle

EMPTY = b"{}"
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
# The fallback's own tag, and those that cosign and carriers have beside it.
FALLBACK_TAG = re.compile(r"sha256-[0-9a-f]{64}(\.[a-z]+(-[0-9a-f]{40})?)?")
_MERGES = 8
MOST_ATTACHED = 1000  # attachments of one bundle that are looked at


def attached_manifest(media_type: str, data: bytes, subject: bytes) -> bytes:
    """The manifest that ties `data` to the bundle whose manifest is `subject`: the same bytes each time."""
    return canonical.encode(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "artifactType": media_type,
            "config": {"mediaType": EMPTY_TYPE, "digest": sha256(EMPTY), "size": len(EMPTY)},
            "layers": [{"mediaType": media_type, "digest": sha256(data), "size": len(data)}],
            "subject": {"mediaType": MANIFEST_TYPE, "digest": sha256(subject), "size": len(subject)},
        }
    )


class Referrers:
    """The attachments of bundles in one registry."""

    def __init__(self, documents: Documents) -> None:
        self.documents = documents

    def add(self, repository: str, digest: str, manifest: bytes, media_type: str) -> None:
        """Store a manifest that refers to the bundle `digest`, and see to it that it is found."""
        stored = sha256(manifest)
        seen = self.documents.write(repository, stored, manifest, MANIFEST_TYPE)
        if not seen or stored not in self._entries(repository, digest):  # some say so, and list nothing
            self._add_to_fallback(repository, digest, manifest, media_type)

    def of(self, repository: str, digest: str) -> list[Attachment]:
        """What is attached in our form. What other tools attach in theirs is theirs, and left out."""
        found = set()
        for number, entry in enumerate(self._entries(repository, digest)):
            if number >= MOST_ATTACHED:
                raise RegistryError(
                    f"more than {MOST_ATTACHED} things are attached to {repository}@{digest[:19]}… "
                    f"in {self.documents.client.address.url}"
                )
            attachment = self._read(repository, digest, entry)
            if attachment:
                found.add(attachment)
        return sorted(found)

    def _entries(self, repository: str, digest: str) -> Iterator[str]:
        """The digests of manifests that refer to `digest`."""
        scopes = (f"repository:{repository}:pull",)
        path = f"/v2/{repository}/referrers/{digest}"
        listed = self.documents.listed(f"list what is attached to {repository}", path, "manifests", scopes)
        try:
            entries = [*listed]
        except NotLetIn:  # an older Harbor's way to say that it has no such list
            entries = self._fallback(repository, digest)
        except Refused as refusal:
            if refusal.status not in (400, 404, 405, 501) and "UNSUPPORTED" not in refusal.codes:
                raise
            entries = self._fallback(repository, digest)
        for entry in entries:
            with as_bundle_error():
                yield Fields(entry, f"an attachment of {repository}").digest("digest")

    def _read(self, repository: str, digest: str, entry: str) -> Attachment | None:
        data = self.documents.read(repository, entry)
        if data is None:  # removed meanwhile
            return None
        if sha256(data) != entry:
            raise _damaged(self.documents.client.address.url, repository, entry)
        try:
            top = Fields(canonical.decode(data), "an attachment")
            media_type = top.text("artifactType", 200)
            layers = top.objects("layers")
            if (
                len(layers) != 1
                or top.object("config").get("mediaType") != EMPTY_TYPE
                or "annotations" in top.values
            ):
                return None
            layer = layers[0].only("mediaType", "digest", "size")
            if layer.text("mediaType", 200) != media_type or top.object("subject").digest("digest") != digest:
                return None
            size = layer.number("size")
            return Attachment(media_type, layer.digest("digest"), size) if size <= MAX_ATTACHMENT else None
        except InvalidBundle:  # some other tool's form
            return None

    def _add_to_fallback(self, repository: str, digest: str, manifest: bytes, media_type: str) -> None:
        entry = {
            "mediaType": MANIFEST_TYPE,
            "digest": sha256(manifest),
            "size": len(manifest),
            "artifactType": media_type,
        }
        for _ in range(_MERGES):
            entries = self._fallback(repository, digest)
            if any(isinstance(x, dict) and x.get("digest") == entry["digest"] for x in entries):
                return
            index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [*entries, entry]}
            self.documents.write(repository, _fallback_tag(digest), canonical.encode(index), INDEX_TYPE)
        raise RegistryError(
            f"cannot attach to {repository} in {self.documents.client.address.url}",
            cause="others keep changing what is attached to it",
            fix="Run it again",
        )

    def _fallback(self, repository: str, digest: str) -> list[Any]:
        data = self.documents.read(repository, _fallback_tag(digest))
        if data is None:
            return []
        with as_bundle_error():
            return Fields(canonical.decode(data), f"the list of attachments of {repository}").array(
                "manifests"
            )


def _fallback_tag(digest: str) -> str:
    return f"sha256-{hex_of(digest)}"


def _damaged(url: str, repository: str, digest: str) -> RegistryError:
    return RegistryError(
        f"what is attached to {repository} in {url} is damaged",
        cause=f"{digest[:19]}… is not what its digest says",
    )
