"""Reads what other tools write: manifests, indexes and configs of images, with bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mlship.digest import sha256
from mlship.errors import RegistryError
from mlship.image.forms import FORMS, INDEXES
from mlship_runtime.bundle import canonical
from mlship_runtime.bundle.fields import Fields
from mlship_runtime.errors import InvalidBundle

MAX_DOCUMENT = canonical.MAX_BYTES
MAX_BLOB = 16 << 30  # bytes of one layer
_MOST_LAYERS = 200
_MOST_IMAGES = 200
_MANIFESTS = tuple(form.manifest for form in FORMS.values())


@dataclass(frozen=True)
class Blob:
    """`size` in bytes."""

    media_type: str
    digest: str
    size: int


@dataclass(frozen=True)
class ImageManifest:
    """Of one image for one platform. `media_type` is the manifest's own."""

    data: bytes
    media_type: str
    config: Blob
    layers: tuple[Blob, ...]

    @property
    def digest(self) -> str:
        return sha256(self.data)


@dataclass(frozen=True)
class Listed:
    """What an index says of one image; `system`, `processor` and `variant` may be empty."""

    blob: Blob
    system: str
    processor: str
    variant: str
    annotations: dict[str, str]


def read_document(data: bytes, place: str) -> ImageManifest | tuple[Listed, ...]:
    """A manifest, or the images of an index; RegistryError if it is neither. `place` is for errors."""
    try:
        top = Fields(canonical.decode(data), place)
        media_type = top.values.get("mediaType") or _guessed(top)
        if media_type in INDEXES:
            return _listed(top)
        if media_type in _MANIFESTS:
            return _manifest(top, data, media_type)
    except InvalidBundle as fault:
        raise RegistryError(f"{place} cannot be read", cause=str(fault)) from fault
    raise RegistryError(
        f"{place} is no image", cause=f"its media type is {str(media_type)[:100]!a}", fix="Name an image"
    )


def index_type(data: bytes) -> str:
    """The media type of an index that was read."""
    return str(canonical.decode(data).get("mediaType") or INDEXES[0])


def read_config(data: bytes, place: str) -> dict[str, Any]:
    """The config of an image. RegistryError if it is none, or lists its layers otherwise than by digests."""
    try:
        top = Fields(canonical.decode(data), place)
        for key in ("architecture", "os"):
            top.text(key, 100)
        root = top.object("rootfs")
        root.constant("type", "layers")
        for position, _ in enumerate(root.array("diff_ids")):
            Fields({"diff_ids": root.values["diff_ids"][position]}, place).digest("diff_ids")
        if top.values.get("config") is not None:
            top.object("config")
    except InvalidBundle as fault:
        raise RegistryError(f"{place} cannot be read", cause=str(fault)) from fault
    return top.values


def _guessed(top: Fields) -> str:
    """What a document without a media type is: OCI leaves that to the reader."""
    if "layers" in top.values and "config" in top.values:
        return FORMS["oci"].manifest
    return INDEXES[0] if "manifests" in top.values else ""


def _manifest(top: Fields, data: bytes, media_type: str) -> ImageManifest:
    layers = tuple(_blob(fields) for fields in top.objects("layers"))
    if not 0 < len(layers) <= _MOST_LAYERS:
        raise InvalidBundle(f"{top.place} has {len(layers)} layers")
    return ImageManifest(data, media_type, _blob(top.object("config"), MAX_DOCUMENT), layers)


def _listed(top: Fields) -> tuple[Listed, ...]:
    found = []
    for fields in top.objects("manifests"):
        said = fields.values.get("platform") or {}
        platform = Fields(said, f"{fields.place}: platform").values
        system, processor, variant = (
            str(platform.get(key) or "")[:100] for key in ("os", "architecture", "variant")
        )
        notes = fields.texts("annotations")
        found.append(Listed(_blob(fields, MAX_DOCUMENT), system, processor, variant, notes))
    if len(found) > _MOST_IMAGES:
        raise InvalidBundle(f"{top.place} lists {len(found)} images")
    return tuple(found)


def _blob(fields: Fields, limit: int = MAX_BLOB) -> Blob:
    size = fields.number("size")
    if size > limit:
        raise fields.wrong("size", f"is {size}: at most {limit} bytes are read")
    return Blob(fields.text("mediaType", 200), fields.digest("digest"), size)
