"""What a bundle runs on, locked: Python, platforms, wheels, trim list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version

from mlship.bundle.lock import LockedRuntime, LockedWheel
from mlship.bundle.packages import trim
from mlship.bundle.packages.platforms import Wanted, named, this_machine, wanted
from mlship.bundle.packages.python import version_of
from mlship.bundle.packages.resolve import Resolved, Wheel, requirements_of, resolve
from mlship.config import Project, interpreter
from mlship.errors import BuildError
from mlship.progress import Progress

_DISTRIBUTION = "mlship-toolchain"


@dataclass(frozen=True)
class Settled:
    """A runtime to build with; `urls` (by sha256) only of what was resolved just now."""

    locked: LockedRuntime
    urls: Mapping[str, str]


def settle(
    project: Project, locked: LockedRuntime | None, ground_floor: str, *, upgrade: bool, progress: Progress
) -> Settled:
    """The runtime that the project asks for: the lock's wherever it still fits, else resolved anew, as close
    to the lock's versions as possible. `upgrade` takes the newest. Raises BuildError."""
    python = project.runtime.python or (
        locked.python if locked and not upgrade else version_of(interpreter(project))
    )
    requirements = requirements_of(project.runtime.requirements, project.model.engine)
    names = _platforms(project, python, None if upgrade else locked)
    fits = (
        locked is not None
        and not upgrade
        and (locked.python, locked.requirements) == (python, requirements)
        and set(names) == set(locked.platforms)
    )
    urls: dict[str, str] = {}
    if fits and locked is not None:
        platforms = locked.platforms
    else:
        kept = locked.pins if locked and not upgrade and locked.python == python else {}
        progress.phase("resolve", len(names))
        found = _resolve_all(requirements, [named(name) for name in names], kept, progress)
        platforms = {name: _locked_wheels(resolved.wheels) for name, resolved in found.items()}
        urls = {sha256: url for resolved in found.values() for sha256, url in resolved.urls.items()}
    return Settled(
        LockedRuntime(
            mlship=version(_DISTRIBUTION),
            ground_floor=ground_floor,
            python=python,
            requirements=requirements,
            trim=trim.VERSION if project.runtime.trim else trim.NOTHING,
            platforms=platforms,
        ),
        urls,
    )


def for_this_machine(settled: Settled) -> tuple[Wanted, tuple[Wheel, ...], Mapping[str, str]]:
    """The platform, wheels and their places with which the bundle is tried here: one of the bundle's own, or
    (not locked, not packed) the same versions for this machine."""
    for name in settled.locked.platforms:
        platform = named(name)
        if platform.runs_here:
            return platform, settled.locked.wheels(name), settled.urls
    platform = this_machine(settled.locked.python)
    found = resolve(settled.locked.requirements, platform, settled.locked.pins)
    return platform, found.wheels, found.urls


def _platforms(project: Project, python: str, locked: LockedRuntime | None) -> list[str]:
    """The bundle's platforms: those of mlship.toml, else the lock's, else this machine's."""
    if project.runtime.platforms:
        return [wanted(word, python).name for word in dict.fromkeys(project.runtime.platforms)]
    if locked is not None and locked.python == python:
        return list(locked.platforms)
    return [this_machine(python).name]


def _resolve_all(
    requirements: tuple[str, ...], platforms: list[Wanted], kept: Mapping[str, str], progress: Progress
) -> dict[str, Resolved]:
    """Resolve the first platform freely (near `kept`), the others at its versions."""
    found: dict[str, Resolved] = {}
    pins: Mapping[str, str] = {}
    for platform in platforms:
        if found:
            resolved = resolve(requirements, platform, pins)
        else:
            resolved = _near(requirements, platform, kept)
            pins = {wheel.name: wheel.version for wheel in resolved.wheels}
        found[platform.name] = resolved
        progress.advance()
        progress.say(f"Resolved {len(resolved.wheels)} packages for {platform.name}")
    return found


def _near(requirements: tuple[str, ...], platform: Wanted, kept: Mapping[str, str]) -> Resolved:
    """At the versions of `kept`; where these contradict the requirements, without them."""
    if kept:
        try:
            return resolve(requirements, platform, kept)
        except BuildError:
            return resolve(requirements, platform, {})
    return resolve(requirements, platform, {})


def _locked_wheels(wheels: Iterable[Wheel]) -> tuple[LockedWheel, ...]:
    return tuple(LockedWheel(name=w.name, version=w.version, file=w.file, sha256=w.sha256) for w in wheels)
