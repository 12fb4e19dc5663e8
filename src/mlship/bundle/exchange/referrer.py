"""An attachment as OCI knows it: a manifest of its own whose `subject` is the bundle's manifest.

Where manifests are kept, tools find it by its subject and tell its kind by its artifact type, which is also
the media type of its one layer. Sources: OCI image specification 1.1 (manifest.md, guidelines for artifact
usage), OCI distribution specification 1.1 (referrers).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mlship.bundle.source import MAX_ATTACHMENT, Attachment
from mlship.digest import sha256
from mlship_runtime.bundle import canonical
from mlship_runtime.bundle.fields import Fields
from mlship_runtime.bundle.manifest import MANIFEST_TYPE
from mlship_runtime.errors import InvalidBundle

EMPTY_TYPE, EMPTY = "application/vnd.oci.empty.v1+json", b"{}"
MAX_REFERRER = 4 << 10
_PLACE = "the manifest of an attachment"
_NAME = r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"  # RFC 6838, section 4.2
_MEDIA_TYPE = re.compile(f"{_NAME}/{_NAME}")


@dataclass(frozen=True)
class Subject:
    """The manifest of the bundle that something is said of; `size` in bytes."""

    digest: str
    size: int


def write_referrer(subject: Subject, attachment: Attachment) -> bytes:
    """The manifest, the same for the same attachment of the same bundle."""
    return canonical.encode(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "artifactType": attachment.media_type,
            "config": {"mediaType": EMPTY_TYPE, "digest": sha256(EMPTY), "size": len(EMPTY)},
            "layers": [
                {"mediaType": attachment.media_type, "digest": attachment.digest, "size": attachment.size}
            ],
            "subject": {"mediaType": MANIFEST_TYPE, "digest": subject.digest, "size": subject.size},
        }
    )


def read_referrer(data: bytes, subject: Subject) -> Attachment:
    """What is attached to `subject`; raises InvalidBundle for an attachment of another bundle, one that is
    too large, and anything that `write_referrer` would not have written."""
    top = Fields(canonical.decode(data, max_bytes=MAX_REFERRER), _PLACE)
    named = top.object("subject")
    if named.digest("digest") != subject.digest:
        raise InvalidBundle("an attachment is of another bundle", cause=f"of {named.digest('digest')[:19]}…")
    layers = top.objects("layers")
    if len(layers) != 1:
        raise top.wrong("layers", "is not exactly one")
    kind = check_media_type(top.text("artifactType", 200))
    attachment = Attachment(kind, layers[0].digest("digest"), layers[0].number("size"))
    if attachment.size > MAX_ATTACHMENT:
        raise InvalidBundle(
            f"an attachment has {attachment.size} bytes", cause=f"at most {MAX_ATTACHMENT} are read"
        )
    if write_referrer(subject, attachment) != data:
        raise InvalidBundle(f"{_PLACE} is not one that mlship writes", cause="it was changed")
    return attachment


def check_media_type(text: str) -> str:
    """`text` if it has the form of a media type, whether anybody here knows it or not; InvalidBundle."""
    if not _MEDIA_TYPE.fullmatch(text):
        raise InvalidBundle(f"{text[:80]!a} is not a media type")
    return text
