"""The runtime's layers: mlship_runtime for all platforms; per platform each large wheel alone, the small
together.

A layer is a pure function of its wheels' hashes and the trim list, so the cache keeps it under that key and a
second build writes none again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import msgspec

import mlship_runtime
from mlship.bundle.archive import Layer, write_layer
from mlship.bundle.packages import trim
from mlship.bundle.packages.platforms import Wanted
from mlship.bundle.packages.resolve import Wheel
from mlship.bundle.packages.unwheel import wheel_files
from mlship.bundle.packages.wheels import wheel_path
from mlship.config import cache_dir
from mlship.digest import hex_of, sha256
from mlship.errors import BuildError
from mlship_runtime.bundle.canonical import encode
from mlship_runtime.bundle.extract import extract_layer
from mlship_runtime.bundle.manifest import ANY_PLATFORM
from mlship_runtime.bundle.spec import read_entries
from mlship_runtime.bundle.verify import verify_layer
from mlship_runtime.errors import InvalidBundle

OWN_LAYER = 8 << 20  # bytes of a wheel file above which it is a layer of its own
_FORM = 2  # of the cached layers; another number makes them anew
_OTHERS = "packages"


def ground_floor_layer() -> Layer:
    """mlship_runtime's own sources as the layer for all platforms. Raises BuildError."""
    package = Path(mlship_runtime.__file__).parent
    sources = {
        path.relative_to(package.parent).as_posix(): path.read_bytes() for path in package.rglob("*.py")
    }
    key = sha256(encode([_FORM, ANY_PLATFORM, {place: sha256(data) for place, data in sources.items()}]))
    files = ((f"runtime/{ANY_PLATFORM}/{place}", data) for place, data in sources.items())
    return _layer(key, f"runtime-{ANY_PLATFORM}.tar", ANY_PLATFORM, files)


def platform_layers(platform: Wanted, wheels: Sequence[Wheel], trimmed: int) -> list[Layer]:
    """The layers of one platform from wheels that are in the cache, sorted by title. Raises BuildError."""
    groups: dict[str, list[Wheel]] = {}
    for wheel in wheels:
        alone = wheel_path(wheel).stat().st_size > OWN_LAYER
        groups.setdefault(wheel.name if alone else _OTHERS, []).append(wheel)
    return [_packages(platform, name, sorted(group), trimmed) for name, group in sorted(groups.items())]


def unpacked(layer: Layer, base: Path) -> Path:
    """The folder beneath `base` where `layer` lies unpacked; unpacks or renews it where that is needed."""
    into = base / hex_of(layer.digest)
    if into.is_dir():
        try:
            verify_layer(str(into), layer.entries)
        except InvalidBundle:
            shutil.rmtree(into)
        else:
            return into
    base.mkdir(parents=True, exist_ok=True)
    with layer.path.open("rb") as stream:
        extract_layer(stream, str(into), layer.entries, layer.digest)
    return into


def _packages(platform: Wanted, name: str, wheels: Sequence[Wheel], trimmed: int) -> Layer:
    key = sha256(encode([_FORM, platform.name, trimmed, [wheel.sha256 for wheel in wheels]]))
    title = f"runtime-{platform.name}-{name}.tar"
    return _layer(key, title, platform.name, _files(platform, wheels, trimmed))


def _layer(key: str, title: str, platform: str, files: Iterable[tuple[str, bytes]]) -> Layer:
    """The layer of this key out of the cache; where it is not there, it is made of `files`."""
    tar = cache_dir() / "layers" / f"{hex_of(key)}.tar"
    cached = _cached(tar, title, platform)
    if cached is not None:
        return cached
    part = tar.with_name(f"{tar.name}.part-{os.getpid()}")
    try:
        tar.parent.mkdir(parents=True, exist_ok=True)
        layer = write_layer(part, "runtime", files, platform=platform, title=title)
        part.replace(tar)
        part.write_bytes(encode({"digest": layer.digest, "size": layer.size, "files": layer.index()}))
        part.replace(tar.with_suffix(".json"))
    except OSError as error:
        cause = error.strerror or str(error)
        raise BuildError(f"the cache cannot be written: {tar.parent}", cause=cause) from error
    finally:
        part.unlink(missing_ok=True)
    return msgspec.structs.replace(layer, path=tar)


def _cached(tar: Path, title: str, platform: str) -> Layer | None:
    """The layer as it was written earlier, if it is still what its index says."""
    try:
        index = msgspec.json.decode(tar.with_suffix(".json").read_bytes())
        seen = tar.stat()
        found = _digest(tar, seen.st_size, seen.st_mtime_ns, seen.st_ino)
        layer = Layer(
            role="runtime",
            title=title,
            platform=platform,
            path=tar,
            digest=index["digest"],
            size=index["size"],
            entries=read_entries(index["files"]),
        )
    except (OSError, KeyError, TypeError, msgspec.DecodeError, InvalidBundle):
        return None  # not there, or half written: it is made again
    return layer if layer.digest == found else None


@lru_cache(maxsize=256)
def _digest(tar: Path, size: int, time: int, inode: int) -> str:
    """Of a file as it is now: a build asks for each layer twice."""
    with tar.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def _files(platform: Wanted, wheels: Sequence[Wheel], trimmed: int) -> Iterator[tuple[str, bytes]]:
    """All files of `wheels` in the order of their paths; only one group of small wheels is in memory."""
    found: dict[str, bytes] = {}
    for wheel in wheels:
        _check(wheel)
        for place, content in wheel_files(wheel_path(wheel), wheel.file):
            if trimmed == trim.VERSION and trim.is_trimmed(place):
                continue
            if place in found:
                raise BuildError(
                    f"{wheel.name} and another package both bring {place}",
                    fix="Leave one of them out of [runtime] requirements",
                )
            found[place] = content
    for place in sorted(found, key=lambda text: text.encode("utf-8")):
        yield f"runtime/{platform.name}/{place}", found[place]


def _check(wheel: Wheel) -> None:
    """Raise BuildError for a wheel that is no longer what was fetched."""
    path = wheel_path(wheel)
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != wheel.sha256:
        path.unlink()
        raise BuildError(
            f"{wheel.file} was changed in the cache",
            cause=f"its sha256 is {found[:16]}…, locked is {wheel.sha256[:16]}…",
            fix="Build again: it was removed, and is fetched anew",
        )
