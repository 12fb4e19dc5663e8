"""A folder with images in the form of an OCI image layout: read, and written.

Source: OCI image specification 1.1 (image-layout.md).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from mlship.bundle.exchange.export import new_file
from mlship.bundle.exchange.layout import INDEX_PATH, INDEX_TYPE, LAYOUT, LAYOUT_PATH, TAG, blob_path
from mlship.digest import checked, chunks_of, is_digest, sha256
from mlship.errors import RegistryError, UsageError
from mlship.image.documents import MAX_DOCUMENT, Listed, read_document
from mlship_runtime.bundle import canonical
from mlship_runtime.files import make_folder, write_atomic

_BLOBS = "blobs/sha256"
_READABLE = 0o644


class LayoutFolder:
    """Images in `path`; what is not there is no error until it is asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def url(self) -> str:
        return str(self.path)

    def document(self, reference: str) -> bytes | None:
        """What a tag or digest names; without either the only image, or all if they are of several platforms.
        RegistryError if this is no image layout, UsageError if it has several images."""
        if is_digest(reference):
            return self._small(reference)
        data, listed = self._index()
        named = [x for x in listed if x.annotations.get(TAG) == reference] if reference else list(listed)
        if len(named) == 1:
            return self._small(named[0].blob.digest)
        if named and all(x.system and not x.annotations.get(TAG) for x in named):
            return data
        tags = ", ".join(sorted({x.annotations.get(TAG, x.blob.digest) for x in listed}))
        if named:
            raise UsageError(f"{self.path} has several images", fix=f"Name one of {tags[:300]}")
        return None

    def blob(self, digest: str, size: int) -> Iterator[bytes]:
        path = self._path(digest)
        try:
            if path.stat().st_size != size:
                raise RegistryError(
                    f"{digest[:19]}… in {self.path} has {path.stat().st_size} and not {size} bytes",
                    cause="it was damaged, or not copied to its end",
                )
            yield from chunks_of(path)
        except OSError as error:
            raise RegistryError(
                f"{digest[:19]}… is not in {self.path}", cause=error.strerror or str(error)
            ) from error

    def refuse_other(self) -> None:
        """Raise UsageError if something else is there than an image layout or an empty folder."""
        try:
            if not self.path.exists() or (self.path / LAYOUT_PATH).is_file():
                return
            if self.path.is_dir() and not any(self.path.iterdir()):
                return
        except OSError as error:
            raise self._unwritable(error) from error
        raise UsageError(
            f"{self.path} is there and is no image layout", fix="Name another folder, or a new one"
        )

    def prepare(self) -> None:
        """Be an image layout that can be written to. Raises as `refuse_other`."""
        self.refuse_other()
        try:
            make_folder((self.path / _BLOBS).absolute())
            if not (self.path / LAYOUT_PATH).is_file():
                write_atomic(self.path / LAYOUT_PATH, LAYOUT, _READABLE)
        except OSError as error:
            raise self._unwritable(error) from error

    def has_blob(self, digest: str, size: int) -> bool:
        try:
            return self._path(digest).stat().st_size == size
        except OSError:
            return False

    def write_blob(self, digest: str, size: int, content: Callable[[], Iterable[bytes]]) -> None:
        """Raises BundleError if `content` is not what `digest` says."""
        with new_file(self._path(digest)) as file:
            for chunk in checked(content(), digest, size):
                file.write(chunk)
            os.fchmod(file.fileno(), _READABLE)

    def write_document(self, data: bytes, media_type: str, tag: str) -> None:
        """Let `tag` name a manifest or index whose blobs are there."""
        self.write_blob(sha256(data), len(data), lambda: [data])
        ours = {"mediaType": media_type, "digest": sha256(data), "size": len(data), "annotations": {TAG: tag}}
        index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [*self._others(tag), ours]}
        try:
            write_atomic(self.path / INDEX_PATH, canonical.encode(index), _READABLE)
        except OSError as error:
            raise self._unwritable(error) from error

    def _others(self, tag: str) -> list[dict[str, Any]]:
        """What the index has beside `tag`, as it has it."""
        if not (self.path / INDEX_PATH).exists():
            return []
        data, _ = self._index()
        found: list[dict[str, Any]] = canonical.decode(data)["manifests"]
        return [entry for entry in found if (entry.get("annotations") or {}).get(TAG) != tag]

    def _index(self) -> tuple[bytes, tuple[Listed, ...]]:
        file = self.path / INDEX_PATH
        try:
            data = _read(file)
        except OSError as error:
            raise RegistryError(
                f"{self.path} is no image layout",
                cause=f"it has no {INDEX_PATH}",
                fix="skopeo copy docker://IMAGE oci:FOLDER makes one; so does docker save, unpacked",
            ) from error
        listed = read_document(data, str(file))
        if not isinstance(listed, tuple):
            raise RegistryError(f"{file} is no index")
        return data, listed

    def _small(self, digest: str) -> bytes | None:
        try:
            return _read(self._path(digest))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise RegistryError(f"{self._path(digest)} cannot be read", cause=error.strerror or "") from error

    def _path(self, digest: str) -> Path:
        return self.path / blob_path(digest)

    def _unwritable(self, error: OSError) -> RegistryError:
        return RegistryError(f"{self.path} cannot be written", cause=error.strerror or str(error))


def _read(path: Path) -> bytes:
    """A small file; more than MAX_DOCUMENT bytes of it are not read, and are then not what anybody
    expects."""
    with path.open("rb") as file:
        return file.read(MAX_DOCUMENT + 1)
