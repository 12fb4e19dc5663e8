"""The page docs/reference/bundle-format.md, from the constants and types that builds and readers use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from mlship.bundle.exchange import layout, referrer
from mlship.bundle.spec_form import json_schema
from mlship_runtime.bundle import canonical, manifest, paths, spec, ustar

Table = Callable[[tuple[str, ...], list[tuple[str, ...]]], str]

_LAYERS = {
    "model": ("model/", "one", "the model as ONNX, or as it is with modules of the project in `model/code/`"),
    "reduction": ("reduction/", "at most one", "the code of the reduction step, or its graph"),
    "runtime": (
        "runtime/PLATFORM/",
        "any number",
        "packages of a platform; in `runtime/any/` mlship's server",
    ),
    "golden": ("golden/", "one", "raw rows and the answers they must get"),
    "card": (
        "card/",
        "at most one",
        "`sbom.cdx.json`, what the bundle is made of (CycloneDX 1.6), and `card.md` if there is a model card",
    ),
    "spec": (manifest.SPEC_PATH, "one", "`mlship.json` itself, which is no tar"),
}
_HEAD = """\
# Bundle format

What a bundle is made of, byte by byte, for those who write another reader. The idea is in
[what a bundle is](../explanation/bundle.md).

## Manifest

An OCI image manifest in the CNCF ModelPack form, as canonical JSON: sorted keys, no spaces, UTF-8. The sha256
of its bytes is the bundle's digest. Unknown fields are refused.
"""
_CONFIG = """\
The config has `descriptor` (name, version), `config.format` (`onnx`, `pickle` or `skops`) and
`modelfs.diffIds`: the digests of all layers in order. There is no time of making in it. No layer is
compressed, so a layer's digest is also its diff id, and the same blobs can be layers of a container image.

## Layers, in this order
"""
_PLATFORMS = """\
Runtime layers: first `any`, then by platform, then by title. A platform is written like
`linux-amd64-cp311-gnu2.28`: system, processor, Python, oldest libc.

### Annotations of a layer
"""
_TARS = """\
### Tars

POSIX ustar with regular files only, sorted by the bytes of their paths; mode 0644, owner, group and time 0,
no names of owners. A path of more than 100 bytes is divided at its first fitting slash. Two empty blocks end
the tar; nothing follows. A reader takes exactly that, and no file that the index does not list.

Paths are relative, in Unicode form C, without control characters, backslash, colon, `.` or `..`; no part
begins with a space or ends in a space or dot; no two differ only in case or in the form of their characters.
"""
_SPEC = f"""\
## mlship.json

Canonical JSON of the media type `{manifest.SPEC_TYPE}`, schema version {spec.SPEC_SCHEMA}. Readers
let fields be that they do not know, and say so of a later schema version. The same as a JSON schema:
[mlship.schema.json](mlship.schema.json).
"""
_FILE = """\
## A bundle as one file

`mlship export` writes an OCI image layout as a tar of the form above, with the files in this order;
`mlship import` takes nothing else.
"""
_REFERRERS = """\
### What is attached

Signatures and provenance lie beside the manifest, each under a manifest of its own, in canonical JSON; the
index lists it after the bundle's (`mediaType`, `artifactType`, `digest`, `size`), sorted by the media type
and digest of the content. Any media type is taken along; what nobody here knows is kept and counts for
nothing. At most 100, with 128 MiB together and 48 MiB each.
"""


def parts(table: Table) -> list[str]:
    """The page without its head; `table` draws rows under a header."""
    return [
        _HEAD,
        table(("field", "value"), _manifest()),
        _CONFIG,
        table(("role", "media type", "path", "how many", "holds"), _layers()),
        _PLATFORMS,
        table(("annotation", "value"), _annotations()),
        _TARS,
        table(("limit", "value"), _limits()),
        _SPEC,
        *_forms(table),
        _FILE,
        table(("file", "content"), _files()),
        table(("annotation in the index", "value"), _index()),
        _REFERRERS,
        table(("field", "value"), _referrer()),
    ]


def _manifest() -> list[tuple[str, ...]]:
    return [
        ("`schemaVersion`", "2"),
        ("`mediaType`", f"`{manifest.MANIFEST_TYPE}`"),
        ("`artifactType`", f"`{manifest.ARTIFACT_TYPE}`"),
        ("`config.mediaType`", f"`{manifest.CONFIG_TYPE}`"),
        ("`layers`", "the descriptors of the layers, in the order below"),
        (f"`annotations` `{manifest.TITLE}`", "the bundle's name"),
        (f"`annotations` `{manifest.VERSION}`", "the bundle's version"),
        (
            f"`annotations` `{manifest.FORM}`",
            "`pickle` or `skops` where the model is no ONNX graph; left out otherwise",
        ),
        (
            f"`annotations` `{manifest.LABELLED}`",
            "`true` where `mlship.json` has labels, of the bundle or of its rows; left out otherwise",
        ),
    ]


def _layers() -> list[tuple[str, ...]]:
    return [
        (f"`{role}`", f"`{kind}`", f"`{_LAYERS[role][0]}`", *_LAYERS[role][1:])
        for role, kind in manifest.LAYER_TYPES.items()
    ]


def _annotations() -> list[tuple[str, ...]]:
    return [
        (f"`{manifest.ROLE}`", "the role"),
        (f"`{manifest.PLATFORM}`", "the platform or `any`; on runtime layers only"),
        (f"`{manifest.TITLE}`", "a file name, another one for each layer"),
        (f"`{manifest.FILEPATH}`", "where it unpacks to: the path above, without the last slash"),
    ]


def _limits() -> list[tuple[str, ...]]:
    return [
        ("bytes of a path", str(paths.MAX_PATH_BYTES)),
        ("levels of a path", str(paths.MAX_DEPTH)),
        ("files of a layer", f"{paths.MAX_ENTRIES:,}"),
        ("bytes of a file", f"{ustar.MAX_FILE:,}"),
        ("bytes of the manifest", f"{canonical.MAX_BYTES:,}"),
        ("bytes of `mlship.json`", f"{spec.MAX_SPEC_BYTES:,}"),
        ("levels of JSON", str(canonical.MAX_DEPTH)),
    ]


def _files() -> list[tuple[str, ...]]:
    index = f"`{layout.INDEX_TYPE}`: first the manifest (`mediaType`, `artifactType`, `digest`, `size`)"
    return [
        (f"`{layout.LAYOUT_PATH}`", f"`{layout.LAYOUT.decode()}`"),
        (f"`{layout.INDEX_PATH}`", index),
        (
            "`blobs/sha256/…`",
            "manifest, config, `mlship.json`, then the other layers in their order",
        ),
        (
            "`blobs/sha256/…`",
            "if anything is attached: the empty config `{}`; then the manifest and the content of each",
        ),
    ]


def _index() -> list[tuple[str, ...]]:
    platforms = "the platforms whose layers are there, between commas; left out if all are"
    return [
        (f"`{layout.TAG}`", "the tag; left out if it was exported by digest. A name, which nothing protects"),
        (f"`{layout.PLATFORMS}`", platforms),
    ]


def _referrer() -> list[tuple[str, ...]]:
    return [
        ("`schemaVersion`", "2"),
        ("`mediaType`", f"`{manifest.MANIFEST_TYPE}`"),
        ("`artifactType`", "the media type of the content"),
        ("`config`", f"`{referrer.EMPTY_TYPE}`, the two bytes `{referrer.EMPTY.decode()}`"),
        ("`layers`", "one: the content"),
        ("`subject`", "`mediaType`, `digest` and `size` of the bundle's manifest"),
    ]


def _forms(table: Table) -> Iterator[str]:
    """Each object of mlship.json: what it is, and its fields; the outermost first."""
    forms = json_schema()["$defs"]
    for name in ("BundleSpec", *(name for name in sorted(forms) if name != "BundleSpec")):
        form = forms[name]
        yield f"### {name}\n"
        yield " ".join(form["description"].split()) + "\n"
        rows = [(f"`{key}`", _said(field)) for key, field in form["properties"].items()]
        yield table(("field", "type"), rows)


def _said(field: dict[str, Any]) -> str:
    """A type of the JSON schema in words."""
    note = f" ({field['description']})" if "description" in field else ""
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()}){note}"
    if "anyOf" in field:
        return " or ".join(_said(inner) for inner in field["anyOf"])
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"]) + note
    if field["type"] == "array":
        inner = field.get("prefixItems")
        if inner:
            return f"[{', '.join(_said(item) for item in inner)}]{note}"
        return f"list of {_said(field['items'])}{note}"
    if field["type"] == "object":
        inside = field.get("additionalProperties")
        return f"object of {_said(inside)}{note}" if inside else f"object{note}"
    words = {
        "string": "text",
        "integer": "whole number",
        "number": "number",
        "boolean": "true or false",
        "null": "null",
    }
    pattern = f" `{field['pattern']}`" if "pattern" in field else ""
    return words[field["type"]] + pattern + note
