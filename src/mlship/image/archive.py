"""An image as one file that engines load: an image layout in a tar, with the index that `docker load` reads.

    oci-layout  index.json  manifest.json  blobs/sha256/…

`docker load`, `podman load` and `skopeo copy oci-archive:` (or `docker-archive:`) take it. The same image and
tag give the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mlship.bundle.exchange.export import new_file
from mlship.bundle.exchange.layout import INDEX_PATH, INDEX_TYPE, LAYOUT, LAYOUT_PATH, TAG, blob_path
from mlship.digest import checked
from mlship.image.documents import Blob, ImageManifest
from mlship.image.opened import OpenImage
from mlship.progress import SILENT, Progress
from mlship_runtime.bundle import canonical
from mlship_runtime.bundle.ustar import END, header, padding

Content = Callable[[Blob], Callable[[], Iterable[bytes]]]


@dataclass(frozen=True)
class Loadable:
    """The file, piece by piece: its `small` parts, then `blobs` by what opens each. Damage on the way is a
    BundleError."""

    small: tuple[tuple[str, bytes], ...]
    blobs: tuple[Blob, ...]
    content: Content

    @property
    def size(self) -> int:
        """Of the blobs: all but a few kilobytes."""
        return sum(blob.size for blob in self.blobs)

    def pieces(self) -> Iterator[bytes]:
        for path, data in self.small:
            yield header(path, len(data)) + data + padding(len(data))
        for blob in self.blobs:
            yield header(blob_path(blob.digest), blob.size)
            yield from checked(self.content(blob)(), blob.digest, blob.size)
            yield padding(blob.size)
        yield END


def loadable(
    manifest: ImageManifest, content: Content, named: str = "", absent: Collection[str] = ()
) -> Loadable:
    """What engines load as `named` (NAME:TAG; empty: under no name). Blobs that are `absent` are left out: an
    engine that has such a layer already, on the same ones below, does not look for it."""
    called = {"annotations": {TAG: named.rpartition(":")[2], "io.containerd.image.name": named}}
    listed = {
        "mediaType": manifest.media_type,
        "digest": manifest.digest,
        "size": len(manifest.data),
        **(called if named else {}),
    }
    loaded = {
        "Config": blob_path(manifest.config.digest),
        "RepoTags": [named] if named else None,
        "Layers": [blob_path(layer.digest) for layer in manifest.layers],
    }
    index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [listed]}
    small = (
        (LAYOUT_PATH, LAYOUT),
        (INDEX_PATH, canonical.encode(index)),
        ("manifest.json", canonical.encode([loaded])),
        (blob_path(manifest.digest), manifest.data),
    )
    blobs = {blob.digest: blob for blob in (manifest.config, *manifest.layers) if blob.digest not in absent}
    return Loadable(small, tuple(blobs.values()), content)


def save_image(image: OpenImage, file: Path, name: str, tag: str, progress: Progress = SILENT) -> int:
    """Write `image` to `file`, which is replaced, to be loaded as `name`:`tag`; its size in bytes. Raises
    RegistryError if it cannot be written, and for damage on the way."""
    place = image.place
    whole = loadable(image.manifest, lambda blob: lambda: place.blob(blob.digest, blob.size), f"{name}:{tag}")
    progress.phase(f"saving {name}:{tag}", whole.size, unit="bytes")
    with new_file(file) as out:
        for piece in whole.pieces():
            out.write(piece)
            progress.advance(len(piece))
        return out.tell()
