"""One image of a Docker engine as a place of images: saved once into the user's cache, then read from there.

An engine gives layers only as one stream (`docker save`), without the manifest that a registry had. So the
manifest is made here, from the config and the layers as the engine unpacks them: the same image gives the
same manifest, from any engine.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlship.config.folders import cache_dir
from mlship.digest import hex_of, is_digest
from mlship.errors import RegistryError
from mlship.image.engine import connect, engine_errors
from mlship.image.layout import LayoutFolder
from mlship.image.saved_stream import write_layout
from mlship.progress import SILENT, Progress
from mlship_runtime.files import make_folder, remove

_KEPT = "engine-images-1"  # the number rises when what is written there changes
_UNUSED = 7 * 86400.0  # seconds after which nobody misses one
_CHUNK = 1 << 20


class EngineImage:
    """The image that the engine calls `name` (a name, a digest of a registry, or its own id)."""

    def __init__(self, name: str, progress: Progress = SILENT) -> None:
        self._name, self._progress = name, progress
        self._layout: LayoutFolder | None = None
        self.id = ""  # known once a document was read

    @property
    def url(self) -> str:
        return f"the Docker engine's image {self._name}"

    def document(self, reference: str) -> bytes | None:
        """The manifest (empty), or another document by its digest. None if the engine does not have the
        image; RegistryError if it cannot be reached, UsageError without its SDK."""
        layout = self._layout or self._saved()
        return layout.document(reference) if layout else None

    def blob(self, digest: str, size: int) -> Iterator[bytes]:
        layout = self._layout or self._saved()
        if layout is None:
            raise RegistryError(f"{self.url} is gone", fix="Pull or load it again")
        return layout.blob(digest, size)

    def _saved(self) -> LayoutFolder | None:
        client = connect()
        try:
            found = _inspected(client, self._name)
            if found is None:
                return None
            self.id = found["Id"]
            folder = cache_dir() / _KEPT / hex_of(self.id)
            if folder.is_dir():
                os.utime(folder)
            else:
                self._save(client, folder, int(found.get("Size") or 0))
        finally:
            client.close()
        self._layout = LayoutFolder(folder)
        return self._layout

    def _save(self, client: Any, folder: Path, size: int) -> None:
        """By the id that was seen: the name may be another image meanwhile."""
        make_folder(folder.parent)
        _remove_unused(folder.parent)
        part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
        remove(part)
        self._progress.phase(f"saving {self._name} from the engine", size or None, unit="bytes")
        try:
            write_layout(self._chunks(client), part, self.url)
            _publish(part, folder)
        except OSError as error:
            raise RegistryError(f"{folder.parent} cannot be written", cause=str(error)) from error
        finally:
            remove(part)

    def _chunks(self, client: Any) -> Iterator[bytes]:
        with engine_errors():
            for chunk in client.get_image(self.id, _CHUNK):
                self._progress.advance(len(chunk))
                yield chunk


def _inspected(client: Any, name: str) -> dict[str, Any] | None:
    from docker.errors import NotFound

    with engine_errors():
        try:
            found: dict[str, Any] = client.inspect_image(name)
        except NotFound:
            return None
    if not is_digest(str(found.get("Id"))):
        raise RegistryError("the Docker engine answered with an image without an id")
    return found


def _publish(part: Path, folder: Path) -> None:
    try:
        part.rename(folder)
    except OSError:
        if not folder.is_dir():  # else somebody has saved the same image meanwhile
            raise


def _remove_unused(kept: Path) -> None:
    for folder in kept.iterdir():
        if time.time() - folder.stat().st_mtime > _UNUSED:
            remove(folder)
