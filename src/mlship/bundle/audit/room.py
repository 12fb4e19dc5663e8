"""What takes the room in a bundle: packages of the runtime, the model, and so on; and the budget for it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from mlship.bundle.archive import Layer
from mlship.config import Project
from mlship.errors import BuildError
from mlship_runtime.bundle.manifest import Manifest
from mlship_runtime.bundle.spec import FileEntry, Spec

_NAMED = 4  # parts in a message
_END_OF_PACKAGE = re.compile(r"[-.]")  # numpy.libs and numpy-2.4.6.dist-info belong to numpy


class Part(NamedTuple):
    """`size` in bytes of the files; `platform` is empty outside of the runtime."""

    name: str
    platform: str
    size: int


def parts(files: Iterable[tuple[str, Sequence[FileEntry]]]) -> list[Part]:
    """The parts of layers given as (platform, files), the largest first."""
    sizes: dict[tuple[str, str], int] = {}
    for platform, entries in files:
        for entry in entries:
            key = _part_of(entry.path, platform), platform
            sizes[key] = sizes.get(key, 0) + entry.size
    return sorted((Part(*key, size) for key, size in sizes.items()), key=lambda part: (-part.size, part))


def parts_of(manifest: Manifest, spec: Spec) -> list[Part]:
    """The parts of a bundle, the largest first."""
    return parts((layer.platform, spec.files.get(layer.digest, ())) for layer in manifest.layers)


def check_budget(project: Project, layers: Iterable[Layer], size: int) -> None:
    """Raise BuildError, with the largest parts, if a bundle of `size` bytes is above `max_size`."""
    limit = project.bundle.max_bytes
    if limit is None or size <= limit:
        return
    largest = parts((layer.platform, layer.entries) for layer in layers)[:_NAMED]
    named = ", ".join(f"{_named(part)} {part.size / 1e6:.1f} MB" for part in largest)
    raise BuildError(
        f"the bundle has {size / 1e6:.1f} MB, above the {project.bundle.max_size} of [bundle] max_size",
        cause=f"the largest parts are {named}",
        fix="Leave out what is not needed, or raise max_size",
    )


def _part_of(path: str, platform: str) -> str:
    if not platform:
        return path.partition("/")[0]
    return _END_OF_PACKAGE.split(path.split("/")[2])[0]


def _named(part: Part) -> str:
    return f"{part.name} ({part.platform})" if part.platform else part.name
