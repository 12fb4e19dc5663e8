"""The image of a bundle for an engine: put together here, the same wherever that is done."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlship.bundle.open import OpenBundle
from mlship.digest import sha256
from mlship.errors import BundleError, TargetError
from mlship.image.forms import OCI
from mlship.image.make import Made, make_image
from mlship.image.places import ImageName, parse_image
from mlship.progress import SILENT, Progress
from mlship.target.deployment import LayerRef
from mlship.target.protocol import Place
from mlship_docker.engine import Engine
from mlship_docker.settings import DockerSettings
from mlship_runtime.bundle import canonical
from mlship_runtime.platforms import read_platform

_FRONT = "runtime/any/mlship_runtime/supervision/front.py"


@dataclass(frozen=True)
class TargetImage:
    """An image that was put together here. `id` is the digest of its config, by which Docker's own store
    knows it; containerd's goes by the manifest's."""

    made: Made

    @property
    def id(self) -> str:
        return sha256(self.made.images[0].image.config)

    @property
    def manifest(self) -> str:
        return self.made.digest

    @property
    def diff_ids(self) -> list[str]:
        found: list[str] = canonical.decode(self.made.images[0].image.config)["rootfs"]["diff_ids"]
        return found

    @property
    def layers(self) -> tuple[LayerRef, ...]:
        """By their unpacked digests, which engines compare."""
        listed = canonical.decode(self.made.images[0].image.manifest)["layers"]
        titles = ["the base"] * len(self.made.images[0].base.manifest.layers)
        titles += [layer.title for layer in self._of_bundle()] + ["entry"]
        return tuple(
            LayerRef(digest=diff_id, size=layer["size"], title=title)
            for diff_id, layer, title in zip(self.diff_ids, listed, titles, strict=True)
        )

    def _of_bundle(self) -> list[Any]:
        from mlship.image.make import image_layers

        return image_layers(self.made.bundle, self.made.images[0].platform)


def make(
    place: Place, settings: DockerSettings, engine: Engine, bundle: OpenBundle, progress: Progress = SILENT
) -> TargetImage:
    """The image for the engine's platform. Raises what make_image does, and TargetError where the bundle is
    not for it."""
    if not any(entry.path == _FRONT for files in bundle.spec.files.values() for entry in files):
        raise BundleError(
            f"the runtime in {bundle.reference} does not know how to run behind a front",
            cause="it was built by an older mlship",
            fix="Run: mlship build",
        )
    return TargetImage(
        make_image(bundle, base_of(place, settings), OCI, [platform_for(engine, bundle)], progress=progress)
    )


def base_of(place: Place, settings: DockerSettings) -> ImageName:
    """The base as set; a folder is found from the project's."""
    text = settings.base
    if text.startswith((".", "~")) and place.project is not None:
        text = str(place.project / Path(text).expanduser())
    return parse_image(text)


def platform_for(engine: Engine, bundle: OpenBundle) -> str:
    """The platform of the bundle that the engine runs. Raises TargetError that names both sides."""
    system, processor = engine.platform
    for name in bundle.manifest.platforms:
        found = read_platform(name)
        if found is not None and (found.system, found.processor) == (system, processor):
            return str(name)
    raise TargetError(
        f"the engine at {engine.address.url} cannot run {bundle.reference}",
        cause=f"it runs {system}/{processor}, and the bundle is for {', '.join(bundle.manifest.platforms)}",
        fix=f"Add {system}/{processor} to [runtime] platforms, then build again",
    )


def missing(layers: Iterable[LayerRef], chains: Iterable[Sequence[str]]) -> list[LayerRef]:
    """The layers above the longest run, from the lowest on, that an image on the engine shares."""
    wanted = list(layers)
    shared = max((_shared([x.digest for x in wanted], chain) for chain in chains), default=0)
    return wanted[shared:]


def _shared(wanted: Sequence[str], chain: Sequence[str]) -> int:
    count = 0
    for ours, theirs in zip(wanted, chain, strict=False):
        if ours != theirs:
            break
        count += 1
    return count


def settings_of(image: TargetImage, repository: str) -> dict[str, Any]:
    """What a release's settings say of its image."""
    return {"image": image.id, "manifest": image.manifest, "repository": repository}
