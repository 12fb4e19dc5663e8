"""The manifest of a bundle: an OCI image manifest in the CNCF ModelPack form, read strictly.

Sources: OCI image specification 1.1 (manifest.md, descriptor.md); CNCF ModelPack model-spec (media types,
`org.cncf.model.filepath`). A bundle's digest is the sha256 of the manifest's bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from mlship_runtime.bundle import canonical
from mlship_runtime.bundle.fields import Fields
from mlship_runtime.errors import InvalidBundle

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
ARTIFACT_TYPE = "application/vnd.cncf.model.manifest.v1+json"
CONFIG_TYPE = "application/vnd.cncf.model.config.v1+json"
SPEC_TYPE = "application/vnd.mlship.spec.v1+json"
LAYER_TYPES = {
    "model": "application/vnd.cncf.model.weight.v1.tar",
    "reduction": "application/vnd.cncf.model.code.v1.tar",
    "runtime": "application/vnd.cncf.model.code.v1.tar",
    "golden": "application/vnd.cncf.model.dataset.v1.tar",
    "card": "application/vnd.cncf.model.doc.v1.tar",
    "spec": SPEC_TYPE,
}
ROLES = tuple(LAYER_TYPES)  # in the order of the layers
_MAY_LACK = ("reduction", "card")
ANY_PLATFORM = "any"
MAX_LAYERS = 125  # of one platform: container engines refuse images with more
SPEC_PATH = "mlship.json"

TITLE = "org.opencontainers.image.title"
VERSION = "org.opencontainers.image.version"
FILEPATH = "org.cncf.model.filepath"
ROLE = "vnd.mlship.role"
PLATFORM = "vnd.mlship.platform"
LABELLED = "vnd.mlship.labelled"  # of the manifest: "true" where mlship.json has labels
FORM = "vnd.mlship.model"  # of the manifest: pickle or skops, where the model is not ONNX


@dataclass(frozen=True)
class Descriptor:
    """What a manifest says of one blob; `size` in bytes."""

    media_type: str
    digest: str
    size: int
    annotations: Mapping[str, str]

    @property
    def role(self) -> str:
        """model, reduction, runtime, golden, card or spec; empty for the config."""
        return self.annotations.get(ROLE, "")

    @property
    def platform(self) -> str:
        """The platform of a runtime layer (`any` for all), else empty."""
        return self.annotations.get(PLATFORM, "")

    @property
    def title(self) -> str:
        return self.annotations.get(TITLE, "")

    @property
    def filepath(self) -> str:
        """The folder (or, for the spec, the file) that the layer unpacks to."""
        return self.annotations.get(FILEPATH, "")

    @property
    def is_tar(self) -> bool:
        return self.media_type != SPEC_TYPE and self.media_type != CONFIG_TYPE


@dataclass(frozen=True)
class Manifest:
    """A bundle's layers in order: model (several if its weights are sharded), reduction, runtime, golden,
    card (bundles of before have none), spec."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str]

    @property
    def name(self) -> str:
        return self.annotations[TITLE]

    @property
    def version(self) -> str:
        return self.annotations[VERSION]

    @property
    def is_labelled(self) -> bool:
        """Whether it says that mlship.json has labels, so that nobody needs to fetch that to know."""
        return LABELLED in self.annotations

    @property
    def spec_layer(self) -> Descriptor:
        return self.layers[-1]

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Everything that a registry must hold for this manifest: the config and the layers."""
        return (self.config, *self.layers)

    @property
    def platforms(self) -> tuple[str, ...]:
        """The platforms that have runtime layers of their own, sorted."""
        return tuple(sorted({layer.platform for layer in self.layers} - {"", ANY_PLATFORM}))

    def layers_for(self, platform: str) -> tuple[Descriptor, ...]:
        """All layers that a host of `platform` needs, the spec included, in order."""
        wanted = ("", ANY_PLATFORM, platform)
        return tuple(layer for layer in self.layers if layer.platform in wanted)


def digest_of(data: bytes) -> str:
    """The digest of a manifest, spec or any other bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def read_manifest(data: bytes) -> Manifest:
    """Read a manifest; raises InvalidBundle unless it is a whole, orderly bundle."""
    top = Fields(canonical.decode(data), "the manifest")
    top.only("schemaVersion", "mediaType", "artifactType", "config", "layers", "annotations")
    top.schema_version(2)
    top.constant("mediaType", MANIFEST_TYPE)
    top.constant("artifactType", ARTIFACT_TYPE)
    config = _descriptor(top.object("config"))
    if config.media_type != CONFIG_TYPE:
        raise InvalidBundle("the manifest's config is of another media type", cause=config.media_type[:100])
    annotations = top.texts("annotations")
    if not annotations.get(TITLE) or not annotations.get(VERSION):
        raise InvalidBundle("the manifest does not name its bundle and version")
    layers = tuple(_layer(fields) for fields in top.objects("layers"))
    _check_layers(layers)
    return Manifest(config, layers, annotations)


def _descriptor(fields: Fields) -> Descriptor:
    fields.only("mediaType", "digest", "size", "annotations")
    return Descriptor(
        fields.text("mediaType", 200),
        fields.digest("digest"),
        fields.number("size"),
        fields.texts("annotations"),
    )


def _layer(fields: Fields) -> Descriptor:
    layer = _descriptor(fields)
    role, title, platform = layer.role, layer.title, layer.platform
    if role not in LAYER_TYPES:
        raise fields.wrong(ROLE, f"is {role[:40]!r}: unknown, or of a newer mlship")
    if layer.media_type != LAYER_TYPES[role]:
        raise fields.wrong("mediaType", f"is not {LAYER_TYPES[role]}")
    if (role == "runtime") != bool(platform):
        raise fields.wrong(PLATFORM, "stands on runtime layers and on no other")
    for key, text in ((TITLE, title), (PLATFORM, platform or ANY_PLATFORM)):
        if not text or len(text) > 200 or "/" in text or not text.isprintable() or text.startswith("."):
            raise fields.wrong(key, "is not a plain file name")
    expected = {"runtime": f"runtime/{platform}", "spec": SPEC_PATH}.get(role, role)
    if layer.filepath != expected:
        raise fields.wrong(FILEPATH, f"is not {expected!r}")
    return layer


def _check_layers(layers: tuple[Descriptor, ...]) -> None:
    roles = [layer.role for layer in layers]
    if roles != sorted(roles, key=ROLES.index):
        raise InvalidBundle("the manifest's layers are out of order", cause=f"expected {', '.join(ROLES)}")
    for role in ("model", "reduction", "golden", "card", "spec"):
        if role != "model" and roles.count(role) > 1:
            raise InvalidBundle(f"the manifest has more than one {role} layer")
        if role not in _MAY_LACK and role not in roles:
            raise InvalidBundle(f"the manifest has no {role} layer")
    platforms = {layer.platform for layer in layers if layer.role == "runtime"} - {ANY_PLATFORM}
    for platform in sorted(platforms or {ANY_PLATFORM}):
        count = sum(layer.platform in ("", ANY_PLATFORM, platform) for layer in layers)
        if count > MAX_LAYERS:
            raise InvalidBundle(
                f"the bundle has {count} layers for {platform}",
                cause=f"an image has at most {MAX_LAYERS}",
                fix="Leave large packages out of [runtime] requirements",
            )
    for values, word in (([x.digest for x in layers], "digest"), ([x.title for x in layers], "title")):
        if len(set(values)) != len(values):
            raise InvalidBundle(f"two layers of the manifest have the same {word}")
