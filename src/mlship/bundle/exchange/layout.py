"""A bundle as one file: an OCI image layout in a tar, in an order that can be written and read in one pass.

    oci-layout  index.json  blobs/sha256/<manifest>  …/<config>  …/<spec>  …/<layers as the manifest has them>
    …/<empty config>  …/<manifest of an attachment>  …/<its content>  …

Other tools read it as they read any image layout. A file of some platforms has the whole manifest and leaves
out the runtime layers of the others; index.json says which it has. What is attached to the bundle comes last,
as referrers; without any, the file ends with the layers.
Sources: OCI image specification 1.1 (image-layout.md, image-index.md, annotations.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mlship.bundle.exchange.referrer import EMPTY, Subject, check_media_type
from mlship.bundle.source import Attachment
from mlship.digest import hex_of, sha256
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
MAX_ATTACHMENTS, MAX_ATTACHED = 100, 128 << 20  # how many, and their bytes together


@dataclass(frozen=True)
class Referrer:
    """What index.json says of the manifest of an attachment; `size` in bytes."""

    artifact_type: str
    digest: str
    size: int


@dataclass(frozen=True)
class Index:
    """What index.json says: the manifest, the tag (empty: none), the platforms if not all are there, and the
    attachments."""

    digest: str
    size: int
    tag: str
    platforms: tuple[str, ...] | None
    referrers: tuple[Referrer, ...] = ()

    @property
    def subject(self) -> Subject:
        return Subject(self.digest, self.size)


def blob_path(digest: str) -> str:
    """Where a blob stands in the tar."""
    return f"blobs/sha256/{hex_of(digest)}"


def write_index(index: Index) -> bytes:
    """index.json; the same for the same bundle, tag, platforms and attachments."""
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
    attached = [
        {"mediaType": MANIFEST_TYPE, "artifactType": x.artifact_type, "digest": x.digest, "size": x.size}
        for x in index.referrers
    ]
    return canonical.encode({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [manifest, *attached]})


def read_index(data: bytes) -> Index:
    """Read index.json; raises InvalidBundle for anything that `write_index` would not have written."""
    top = Fields(canonical.decode(data, max_bytes=MAX_INDEX), INDEX_PATH)
    manifests = top.objects("manifests")
    if not manifests:
        raise InvalidBundle(f"{INDEX_PATH} lists no manifest", cause="the file was made by another tool")
    if len(manifests) > 1 + MAX_ATTACHMENTS:
        raise InvalidBundle(
            f"{INDEX_PATH} lists {len(manifests)} manifests",
            cause=f"a bundle and at most {MAX_ATTACHMENTS} attachments are read",
        )
    first, *attached = manifests
    notes = first.texts("annotations")
    platforms = tuple(notes[PLATFORMS].split(",")) if PLATFORMS in notes else None
    index = Index(
        first.digest("digest"),
        first.number("size"),
        notes.get(TAG, ""),
        platforms,
        tuple(
            Referrer(check_media_type(x.text("artifactType", 200)), x.digest("digest"), x.number("size"))
            for x in attached
        ),
    )
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


def carried_beside(manifest: Manifest, attachments: Sequence[Attachment]) -> list[Attachment]:
    """What a file has of these, in order: not those that only repeat a blob that it has anyway."""
    repeated = {sha256(EMPTY), *(blob.digest for blob in manifest.blobs)}
    return sorted(found for found in set(attachments) if found.digest not in repeated)


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
