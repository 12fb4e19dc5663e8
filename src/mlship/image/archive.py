"""An image as one file that engines load: an image layout in a tar, with the index that `docker load` reads.

    oci-layout  index.json  manifest.json  blobs/sha256/…

`docker load`, `podman load` and `skopeo copy oci-archive:` (or `docker-archive:`) take it. The same image and
tag give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mlship.bundle.exchange.export import new_file
from mlship.bundle.exchange.layout import INDEX_PATH, INDEX_TYPE, LAYOUT, LAYOUT_PATH, TAG, blob_path
from mlship.digest import checked
from mlship.image.documents import Blob
from mlship.image.opened import OpenImage
from mlship.progress import SILENT, Progress
from mlship_runtime.bundle import canonical
from mlship_runtime.bundle.ustar import END, header, padding


def save_image(image: OpenImage, file: Path, name: str, tag: str, progress: Progress = SILENT) -> int:
    """Write `image` to `file`, which is replaced, to be loaded as `name`:`tag`; its size in bytes. Raises
    RegistryError if it cannot be written, and for damage on the way."""
    manifest, config = image.manifest, image.manifest.config
    digest, size = manifest.digest, len(manifest.data)
    listed = {
        "mediaType": manifest.media_type,
        "digest": digest,
        "size": size,
        "annotations": {TAG: tag, "io.containerd.image.name": f"{name}:{tag}"},
    }
    loaded = {
        "Config": blob_path(config.digest),
        "RepoTags": [f"{name}:{tag}"],
        "Layers": [blob_path(layer.digest) for layer in manifest.layers],
    }
    small = (
        (LAYOUT_PATH, LAYOUT),
        (
            INDEX_PATH,
            canonical.encode({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [listed]}),
        ),
        ("manifest.json", canonical.encode([loaded])),
        (blob_path(digest), manifest.data),
    )
    blobs = list({blob.digest: blob for blob in (config, *manifest.layers)}.values())
    progress.phase(f"saving {name}:{tag}", sum(blob.size for blob in blobs), unit="bytes")
    with new_file(file) as out:
        for path, data in small:
            out.write(header(path, len(data)) + data + padding(len(data)))
        for blob in blobs:
            out.write(header(blob_path(blob.digest), blob.size))
            for chunk in _content(image, blob):
                out.write(chunk)
                progress.advance(len(chunk))
            out.write(padding(blob.size))
        out.write(END)
        return out.tell()


def _content(image: OpenImage, blob: Blob) -> Iterator[bytes]:
    return checked(image.place.blob(blob.digest, blob.size), blob.digest, blob.size)
