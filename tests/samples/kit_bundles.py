"""What tests with the bundles of the conformance kit share: the bundles, built once for all workers of a run,
and a folder for targets in which the runtime need not be unpacked and compiled anew for every test."""

from __future__ import annotations

import fcntl
import shutil
from dataclasses import fields
from pathlib import Path

from mlship.bundle.open import open_bundle
from mlship.reference import Reference
from mlship.registry import open_registry
from mlship.target.conformance import Bundles
from mlship.target.conformance_bundles import build_bundles
from mlship_runtime.files import remove


def bundles_of_run(folder: Path) -> tuple[str, Bundles]:
    """The registry in `folder` with the kit's bundles, built by the first who asks; nobody changes it."""
    folder.mkdir(exist_ok=True)
    url, done = f"dir://{folder}/registry", folder / "done"
    registry = open_registry(url)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            build_bundles(folder / "projects", registry)
            done.touch()
    tags = {field.name: field.name.replace("_", "-") for field in fields(Bundles)}
    opened = {kind: open_bundle(registry, Reference("conform", tag=tag)) for kind, tag in tags.items()}
    return url, Bundles(**opened)


class WarmHome:
    """An MLSHIP_HOME at one path for many tests, one after the other. What the first of them unpacked and
    compiled of the runtime (byte code has its path inside) is there for the next: as after an upgrade."""

    def __init__(self, folder: Path) -> None:
        self.path, self._kept = folder / "home", folder / "kept"

    @property
    def site(self) -> Path:
        """The base folder of the target `local`; for other targets, a base folder that they are given."""
        return self.path / "targets" / "local"

    def open(self) -> Path:
        remove(self.path)
        self.path.mkdir()
        if self._kept.exists():
            shutil.copytree(self._kept, self.site)
            self.site.chmod(0o700)
        return self.path

    def cool(self) -> None:
        """Take away what is kept, for a test to which it matters that nothing is there."""
        remove(self.site)

    def keep(self) -> None:
        """Keep the layers of the runtime that are unpacked now, if nothing is kept yet."""
        layers, part = self.site / "layers", self._kept.with_suffix(".part")
        if self._kept.exists() or not layers.is_dir():
            return
        for layer in [layer for layer in layers.iterdir() if (layer / "runtime").is_dir()]:
            cache = Path("pycache") / layer.relative_to("/")
            shutil.copytree(layer, part / "layers" / layer.name)
            shutil.copytree(self.site / cache, part / cache)
        if part.exists():
            part.rename(self._kept)
