"""What tests with the bundles of the conformance kit share: the bundles, built once for all workers of a run,
and a folder for targets in which the runtime need not be unpacked and compiled anew for every test."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Sequence
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
    """An MLSHIP_HOME at one path for many tests, one after the other, with a base folder of a target for each
    of `names`. What the first test unpacked and compiled of the runtime (byte code has its path inside) is
    there for the next: as after an upgrade."""

    def __init__(self, folder: Path, names: Sequence[str] = ("local",)) -> None:
        self.path, self._kept, self._names = folder / "home", folder / "kept", names

    def base(self, name: str) -> Path:
        return self.path / "targets" / name

    @property
    def site(self) -> Path:
        """The base folder of the target `local`; for other targets, a base folder that they are given."""
        return self.base(self._names[0])

    def open(self) -> Path:
        remove(self.path)
        self.path.mkdir()
        for name in self._names if self._kept.exists() else ():
            shutil.copytree(self._kept / name, self.base(name))
            self.base(name).chmod(0o700)
        return self.path

    def cool(self) -> None:
        """Take away what is kept, for a test to which it matters that nothing is there."""
        for name in self._names:
            remove(self.base(name))

    def keep(self) -> None:
        """Keep the layers of the runtime that are unpacked now, if nothing is kept yet."""
        found = {name: list(self.base(name).glob("layers/*/runtime")) for name in self._names}
        if self._kept.exists() or not all(found.values()):
            return
        part = self._kept.with_suffix(".part")
        for name, runtimes in found.items():
            for layer in [runtime.parent for runtime in runtimes]:
                cache = Path("pycache") / layer.relative_to("/")
                shutil.copytree(layer, part / name / "layers" / layer.name)
                shutil.copytree(self.base(name) / cache, part / name / cache)
        part.rename(self._kept)
