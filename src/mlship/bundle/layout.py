"""A bundle as one file: an OCI image layout in a tar, in an order that can be written and read in one pass.

    oci-layout  index.json  blobs/sha256/<manifest>  …/<config>  …/<spec>  …/<layers as the manifest has them>

Other tools read it as they read any image layout. A file of some platforms has the whole manifest and leaves
out the runtime layers of the others; index.json says which it has. Attachments have no place yet: their
manifests will stand in index.json after the bundle's own, and their blobs after its layers.
Sources: OCI image specification 1.1 (image-layout.md, image-index.md, annotations.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mlship.digest import hex_of
from mlship.errors import UsageError
from mlship_runtime.bundle import canonical
from mlship_runtime.bundle.fields import Fields
from mlship_runtime.bundle.manifest import ANY_PLATFORM, ARTIFACT_TYPE, MANIFEST_TYPE, Descriptor, Manifest
from mlship_runtime.errors import InvalidBundle

LAYOUT_PATH, INDEX_PATH = "oci-layout", "index.json"
LAYOUT = canonical.encode({"imageLayoutVersion": "1.0.0"})
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
TAG = "org.opencontainers.image.ref.name"
PLATFORMS = "vnd.mlship.platforms"
MAX_INDEX = 64 << 10


@dataclass(frozen=True)
class Index:
    """What index.json says: the manifest, the tag (empty: none), and the platforms if not all are there."""

    digest: str
    size: int
    tag: str
    platforms: tuple[str, ...] | None


def blob_path(digest: str) -> str:
    """Where a blob stands in the tar."""
    return f"blobs/sha256/{hex_of(digest)}"


def write_index(index: Index) -> bytes:
    """index.json; the same for the same bundle, tag and platforms."""
    notes = {TAG: index.tag} if index.tag else {}
    if index.platforms is not None:
        notes[PLATFORMS] = ",".join(index.platforms)
    manifest: dict[str, Any] = {
        "mediaType": MANIFEST_TYPE,
        "artifactType": ARTIFACT_TYPE,
        "digest": index.digest,
        "size": index.size,
    }
    if notes:
        manifest["annotations"] = notes
    return canonical.encode({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [manifest]})


def read_index(data: bytes) -> Index:
    """Read index.json; raises InvalidBundle for anything that `write_index` would not have written."""
    top = Fields(canonical.decode(data, max_bytes=MAX_INDEX), INDEX_PATH)
    manifests = top.objects("manifests")
    if len(manifests) != 1:
        raise InvalidBundle(
            f"{INDEX_PATH} lists {len(manifests)} manifests and not one",
            cause="the file was made by a newer mlship, or by another tool",
        )
    first = manifests[0]
    notes = first.texts("annotations")
    platforms = tuple(notes[PLATFORMS].split(",")) if PLATFORMS in notes else None
    index = Index(first.digest("digest"), first.number("size"), notes.get(TAG, ""), platforms)
    if write_index(index) != data:
        raise InvalidBundle(
            f"{INDEX_PATH} is not one that mlship writes",
            cause="the file was changed, or made by another tool",
        )
    return index


def carried(manifest: Manifest, platforms: Sequence[str] | None) -> list[Descriptor]:
    """The blobs that a file of these platforms (None: all) has after the manifest, in order."""
    wanted = None if platforms is None else {"", ANY_PLATFORM, *platforms}
    layers = [layer for layer in manifest.layers[:-1] if wanted is None or layer.platform in wanted]
    found = (manifest.config, manifest.spec_layer, *layers)
    return list({blob.digest: blob for blob in found}.values())


def chosen(manifest: Manifest, words: Sequence[str]) -> tuple[str, ...]:
    """The bundle's platforms that `words` name, as mlship.toml (linux/amd64) or as the bundle calls them; no
    words name all. Raises UsageError."""
    found: set[str] = set()
    for word in words:
        begins = word.replace("/", "-") + "-"
        named = [name for name in manifest.platforms if name == word or name.startswith(begins)]
        if not named:
            raise UsageError(
                f"the bundle has no platform {word!r}", fix=f"It has {', '.join(manifest.platforms)}"
            )
        found.update(named)
    return tuple(sorted(found)) if words else manifest.platforms
