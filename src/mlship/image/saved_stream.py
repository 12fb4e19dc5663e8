"""What `docker save` writes, read as a stream into an image layout.

Engines up to 24 write `ID/layer.tar` for each layer, with links where two are equal, and manifest.json last;
later ones write an image layout with a manifest.json. That file names config and layers in both.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlship.bundle.exchange.layout import blob_path
from mlship.errors import RegistryError
from mlship.image.documents import MAX_BLOB, MAX_DOCUMENT
from mlship.image.forms import OCI
from mlship.image.layout import LayoutFolder
from mlship.image.tar_headers import FILE, HARD_LINK, LINK, entries, plain_path
from mlship_runtime.bundle import canonical
from mlship_runtime.bundle.fields import Fields
from mlship_runtime.bundle.ustar import CHUNK, ChunkStream, MemberReader
from mlship_runtime.errors import InvalidBundle
from mlship_runtime.files import sync_folder

_INDEX = "manifest.json"
_MOST_HOPS = 8  # of links
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class _Kept:
    """A file of the stream under its digest; `begin` are its first bytes."""

    digest: str
    size: int
    begin: bytes


def write_layout(chunks: Iterable[bytes], folder: Path, place: str) -> None:
    """Write the one image in the stream to the new image layout `folder`. Raises RegistryError for what is no
    such stream, and OSError where nothing can be written; `place` is for errors."""
    layout = LayoutFolder(folder)
    layout.prepare()
    stream = _Stream(folder, place)
    stream.read(chunks)
    config, layers = stream.named()
    manifest = canonical.encode(
        {
            "schemaVersion": 2,
            "mediaType": OCI.manifest,
            "config": _blob(OCI.config, config),
            "layers": [
                _blob(OCI.gzip if layer.begin.startswith(_GZIP) else OCI.plain, layer) for layer in layers
            ],
        }
    )
    stream.leave_only({config.digest, *(layer.digest for layer in layers)})
    layout.write_document(manifest, OCI.manifest, "latest")


class _Stream:
    def __init__(self, folder: Path, place: str) -> None:
        self._folder, self._place = folder, place
        self._files: dict[str, _Kept] = {}
        self._links: dict[str, str] = {}

    def read(self, chunks: Iterable[bytes]) -> None:
        for entry, content in entries(ChunkStream(iter(chunks)), self._place):
            if entry.kind == FILE:
                if entry.size > MAX_BLOB:
                    raise self._wrong(f"{entry.path[:100]!a} has {entry.size} bytes")
                self._files[entry.path] = self._keep(content)
            elif entry.kind == LINK:
                self._links[entry.path] = plain_path(f"{entry.path.rpartition('/')[0]}/{entry.target}")
            elif entry.kind == HARD_LINK:
                self._links[entry.path] = plain_path(entry.target)

    def named(self) -> tuple[_Kept, list[_Kept]]:
        """The config and the layers that the stream's own index names."""
        index = self._folder / blob_path(self._file(_INDEX).digest)
        if index.stat().st_size > MAX_DOCUMENT:
            raise self._wrong(f"{_INDEX} is larger than {MAX_DOCUMENT} bytes")
        try:
            images = canonical.decode(b'{"images":' + index.read_bytes() + b"}")
            (image,) = Fields(images, self._place).objects("images")
            paths = image.array("Layers")
            config = self._file(plain_path(image.text("Config", 4096)))
        except (InvalidBundle, ValueError) as fault:
            raise self._wrong(str(fault)) from fault
        return config, [self._file(plain_path(str(path))) for path in paths]

    def leave_only(self, digests: set[str]) -> None:
        """Remove the other files, and make these durable."""
        for digest in {kept.digest for kept in self._files.values()} - digests:
            (self._folder / blob_path(digest)).unlink()
        for path in [self._folder / blob_path(digest) for digest in sorted(digests)]:
            with path.open("rb") as file:
                os.fsync(file.fileno())
            sync_folder(path.parent)

    def _file(self, path: str) -> _Kept:
        for _ in range(_MOST_HOPS):
            if path in self._files:
                return self._files[path]
            path = self._links.get(path, "")
        raise self._wrong("a file that it names is not in it")

    def _keep(self, content: MemberReader) -> _Kept:
        hashed, size, begin = hashlib.sha256(), 0, b""
        part = self._folder / ".part"
        with part.open("wb") as file:
            while data := content.read(CHUNK):
                begin = begin or data[: len(_GZIP)]
                hashed.update(data)
                size += file.write(data)
        digest = f"sha256:{hashed.hexdigest()}"
        part.rename(self._folder / blob_path(digest))
        return _Kept(digest, size, begin)

    def _wrong(self, why: str) -> RegistryError:
        return RegistryError(f"{self._place} was not saved as engines do it", cause=why)


def _blob(media_type: str, kept: _Kept) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": kept.digest, "size": kept.size}
