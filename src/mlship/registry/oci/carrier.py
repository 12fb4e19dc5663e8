"""The manifest of an ordinary image that carries a bundle, for registries that take nothing else.

Its layers are the bundle's own manifest, as a blob, and the blobs that this names. So nothing of the bundle
is changed, nothing is collected while the image is there, and who reads gets the same bytes under the same
digest. What is attached to a bundle is carried in the same way, by an image of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlship.bundle.source import MAX_ATTACHMENT, Attachment
from mlship.digest import hex_of, sha256
from mlship_runtime.bundle import canonical
from mlship_runtime.bundle.canonical import MAX_BYTES
from mlship_runtime.bundle.fields import Fields
from mlship_runtime.bundle.manifest import MANIFEST_TYPE, read_manifest
from mlship_runtime.errors import InvalidBundle

CARRIES = "vnd.mlship.carries"  # the digest of the bundle whose manifest is the first layer
CARRIES_BESIDE = "vnd.mlship.carries-attachments-of"
_TYPE = "vnd.mlship.type"  # of an attachment
_BEFORE_ALL = "1970-01-01T00:00:00Z"

Json = dict[str, Any]


@dataclass(frozen=True)
class Form:
    """The media types of an image."""

    manifest: str
    config: str
    layer: str


OCI = Form(
    MANIFEST_TYPE, "application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar"
)
DOCKER = Form(
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.container.image.v1+json",
    "application/vnd.docker.image.rootfs.diff.tar",
)


@dataclass(frozen=True)
class Carrier:
    """An image: `manifest`, of the type `media_type`, and its config, both the same bytes each time."""

    manifest: bytes
    config: bytes
    media_type: str


def bundle_carrier(manifest: bytes, form: Form) -> Carrier:
    """The image that carries the bundle of `manifest`."""
    blobs = [(blob.digest, blob.size) for blob in read_manifest(manifest).blobs]
    digest = sha256(manifest)
    return _image(
        form, [_layer(form, digest, len(manifest)), *(_layer(form, *x) for x in blobs)], CARRIES, digest
    )


def attachment_carrier(digest: str, attachment: Attachment, form: Form) -> Carrier:
    """The image that carries what is attached to the bundle `digest`."""
    layer = _layer(form, attachment.digest, attachment.size, {_TYPE: attachment.media_type})
    return _image(form, [layer], CARRIES_BESIDE, digest)


def bundle_tag(digest: str) -> str:
    """Under which a bundle that is carried is found by its digest, and kept from being collected."""
    return f"sha256-{hex_of(digest)}.mlship"


def attachment_tag(digest: str, attachment: Attachment) -> str:
    """A tag for each, so that two who attach something do not overwrite each other."""
    it = sha256(f"{attachment.media_type} {attachment.digest}".encode())
    return f"{_beside(digest)}{hex_of(it)[:40]}"


def attached_tag(digest: str) -> str:
    """There if anything was ever attached in this way: one look tells whether to list tags."""
    return f"sha256-{hex_of(digest)}.attached"


def is_attachment_tag(tag: str, digest: str) -> bool:
    return tag.startswith(_beside(digest))


def carried_bundle(data: bytes) -> tuple[str, int] | None:
    """Digest and size of the bundle's manifest that the image of the manifest `data` carries; None for any
    other."""
    try:
        top = Fields(canonical.decode(data), "an image")
        said = top.object("annotations").get(CARRIES)
        first = top.objects("layers")[0]
        digest, size = first.digest("digest"), first.number("size")
    except (InvalidBundle, IndexError):
        return None
    return (digest, size) if said == digest and size <= MAX_BYTES else None


def carried_attachment(data: bytes, digest: str) -> Attachment | None:
    """What is attached to the bundle `digest` by the image of the manifest `data`; None for any other."""
    try:
        top = Fields(canonical.decode(data), "an image")
        top.object("annotations").constant(CARRIES_BESIDE, digest)
        layer = top.objects("layers")[0]
        media_type, size = layer.object("annotations").text(_TYPE, 200), layer.number("size")
        found = Attachment(media_type, layer.digest("digest"), size)
    except (InvalidBundle, IndexError):
        return None
    return found if size <= MAX_ATTACHMENT else None


def _beside(digest: str) -> str:
    return f"sha256-{hex_of(digest)}.att-"


def _layer(form: Form, digest: str, size: int, annotations: Mapping[str, str] | None = None) -> Json:
    found: Json = {"mediaType": form.layer, "digest": digest, "size": size}
    return {**found, "annotations": dict(annotations)} if annotations else found


def _image(form: Form, layers: Sequence[Json], word: str, digest: str) -> Carrier:
    """With a config that is complete: registries that look into images find as many layers in it."""
    config = canonical.encode(
        {
            "architecture": "unknown",
            "os": "unknown",
            "created": _BEFORE_ALL,
            "config": {"Labels": {word: digest}},
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]},
            "history": [{"created": _BEFORE_ALL, "created_by": "mlship"} for _ in layers],
        }
    )
    manifest = {
        "schemaVersion": 2,
        "mediaType": form.manifest,
        "config": {"mediaType": form.config, "digest": sha256(config), "size": len(config)},
        "layers": list(layers),
        "annotations": {word: digest},
    }
    return Carrier(canonical.encode(manifest), config, form.manifest)
