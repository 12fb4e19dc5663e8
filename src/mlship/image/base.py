"""A base image for one platform: found by name, pinned by digest, looked through, and remembered."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from mlship.config.folders import cache_dir
from mlship.digest import hex_of, sha256
from mlship.errors import RegistryError, UsageError
from mlship.image.base_files import BaseFiles, Finder
from mlship.image.documents import ImageManifest, Listed, read_config, read_document
from mlship.image.forms import is_gzip
from mlship.image.layers import OpenLayer
from mlship.image.layout import LayoutFolder
from mlship.image.places import ImageName, ImagePlace, damaged, read_digest, read_named
from mlship.progress import SILENT, Progress
from mlship.registry.oci.repository import Repository
from mlship_runtime.files import make_folder, write_atomic

_KEPT = "bases-1"  # the number rises when more is looked for


@dataclass(frozen=True)
class Base:
    """`pinned` is the digest of what the name stands for: this manifest, or the index that lists it; of an
    image in an engine its id there."""

    name: ImageName
    pinned: str
    place: ImagePlace
    manifest: ImageManifest
    config: dict[str, Any]

    @property
    def diff_ids(self) -> list[str]:
        found: list[str] = self.config["rootfs"]["diff_ids"]
        return found

    @property
    def settings(self) -> dict[str, Any]:
        """The part of the config about containers."""
        return self.config.get("config") or {}

    @property
    def search_path(self) -> str:
        """PATH of its environment; the usual one if it says none that can be used."""
        for line in self.settings.get("Env") or ():
            name, _, value = str(line).partition("=")
            if name == "PATH" and value and value.isprintable() and len(value) < 4096:
                return value
        return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def find_bases(name: ImageName, platforms: list[tuple[str, str]], progress: Progress = SILENT) -> list[Base]:
    """The base for each (system, processor), in order. Raises RegistryError if it is not there or damaged,
    UsageError if it has no image for one."""
    place = name.open(progress)
    data = read_named(place, name)
    pinned = sha256(data) if isinstance(place, (Repository, LayoutFolder)) else place.id
    return [_opened(name, place, data, pinned, *platform) for platform in platforms]


def look_through(base: Base, progress: Progress = SILENT) -> BaseFiles:
    """What is in the layers of `base`. They are read the first time only: then it is kept, by the digest of
    the manifest, in the user's cache. RegistryError for damage."""
    kept = cache_dir() / _KEPT / f"{hex_of(base.manifest.digest)}.json"
    with suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode(kept.read_bytes(), type=BaseFiles)
    layers = base.manifest.layers
    progress.phase(f"looking through {base.name}", sum(layer.size for layer in layers), unit="bytes")
    finder = Finder()
    for blob, diff_id in zip(layers, base.diff_ids, strict=True):
        layer = OpenLayer(base.place, blob, diff_id)
        finder.read(layer, str(layer))
        layer.finish()
        progress.advance(blob.size)
    found = finder.found()
    _keep(kept, msgspec.json.encode(found))
    return found


def _opened(
    name: ImageName, place: ImagePlace, data: bytes, pinned: str, system: str, processor: str
) -> Base:
    document = read_document(data, f"the image {name}")
    if isinstance(document, tuple):
        digest = _listed(name, document, system, processor)
        document = read_document(read_digest(place, digest), f"the image {name} for {processor}")
    if isinstance(document, tuple):
        raise RegistryError(f"the image {name} is an index of indexes", fix="Name an image by its digest")
    for layer in document.layers:
        is_gzip(layer.media_type)  # raises for what cannot be read
    config = read_config(_config_of(place, document), f"the config of {name}")
    if (config["os"], config["architecture"]) != (system, processor):
        raise _other_platform(name, system, processor, f"{config['os']}/{config['architecture']}")
    if len(config["rootfs"]["diff_ids"]) != len(document.layers):
        raise RegistryError(f"the config of {name} lists other layers than its manifest")
    return Base(name, pinned, place, document, config)


def _config_of(place: ImagePlace, manifest: ImageManifest) -> bytes:
    """The config, from the cache if it was ever read. Raises RegistryError for damage."""
    digest = manifest.config.digest
    kept = cache_dir() / _KEPT / f"{hex_of(digest)}.config"
    with suppress(OSError):
        content = kept.read_bytes()
        if sha256(content) == digest:
            return content
    content = b"".join(place.blob(digest, manifest.config.size))
    if sha256(content) != digest:
        raise damaged(digest, place)
    _keep(kept, content)
    return content


def _keep(file: Path, content: bytes) -> None:
    with suppress(OSError):  # it is a cache
        make_folder(file.parent)
        write_atomic(file, content)


def _listed(name: ImageName, images: tuple[Listed, ...], system: str, processor: str) -> str:
    for image in images:
        if (image.system, image.processor) == (system, processor):
            return image.blob.digest
    there = ", ".join(
        sorted({f"{x.system}/{x.processor}" for x in images if x.system not in ("", "unknown")})
    )
    raise _other_platform(name, system, processor, there or "nothing that it names")


def _other_platform(name: ImageName, system: str, processor: str, there: str) -> UsageError:
    return UsageError(
        f"the base {name} is not for {system}/{processor}",
        cause=f"it is for {there[:200]!a}",
        fix="Name a base for that, or choose with --platform",
    )
