"""The two forms of an image: OCI's, and Docker's schema 2 for services that take nothing else.

Sources: OCI image specification 1.1 (media-types.md); distribution, "Image Manifest V2, Schema 2".
"""

from __future__ import annotations

from dataclasses import dataclass

from mlship.errors import RegistryError, UsageError
from mlship.registry.oci import carrier
from mlship.registry.oci.documents import INDEX_TYPE


@dataclass(frozen=True)
class Form:
    """Media types; `plain` and `gzip` are those of layers, `index` that of an image of several platforms
    (empty: there is none)."""

    name: str
    manifest: str
    config: str
    plain: str
    gzip: str
    index: str


OCI = Form(
    "oci",
    carrier.OCI.manifest,
    carrier.OCI.config,
    carrier.OCI.layer,
    carrier.OCI.layer + "+gzip",
    INDEX_TYPE,
)
DOCKER = Form(
    "docker",
    carrier.DOCKER.manifest,
    carrier.DOCKER.config,
    carrier.DOCKER.layer,
    carrier.DOCKER.layer + ".gzip",
    "",
)
FORMS = {form.name: form for form in (OCI, DOCKER)}
MANIFEST_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
INDEXES = (INDEX_TYPE, MANIFEST_LIST)
_PLAIN, _GZIP = "", "gzip"
_COMPRESSIONS = {
    **{form.plain: _PLAIN for form in FORMS.values()},
    **{form.gzip: _GZIP for form in FORMS.values()},
}


def form_called(name: str) -> Form:
    """Raises UsageError."""
    if name not in FORMS:
        raise UsageError(f"there is no profile {name!r}", fix=f"There are {', '.join(FORMS)}")
    return FORMS[name]


def is_gzip(layer_type: str) -> bool:
    """Whether a layer of this media type is compressed. Raises RegistryError for types that we cannot
    read."""
    if layer_type not in _COMPRESSIONS:
        raise RegistryError(
            f"the base has a layer of the type {layer_type[:100]!a}",
            cause="only plain tars and gzip are read",
            fix="Use a base with such layers: skopeo copy --dest-compress-format gzip makes one",
        )
    return _COMPRESSIONS[layer_type] == _GZIP


def layer_type_in(form: Form, layer_type: str) -> str:
    """What a layer of `layer_type` is called in an image of `form`."""
    return form.gzip if is_gzip(layer_type) else form.plain
