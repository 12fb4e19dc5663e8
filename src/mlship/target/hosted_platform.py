"""Which of a bundle's platforms a host can run, with which interpreter, and what else stands in the way."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from mlship.bundle.open import OpenBundle
from mlship.errors import TargetError
from mlship.host.site import Site
from mlship.target.deployment import Deployment, Problem
from mlship.target.hosted_settings import HostedSettings

_PLATFORM = re.compile(
    r"(?P<system>linux|macos)-(?P<machine>\w+)-cp(?P<major>\d)(?P<minor>\d+)-(?P<floor>[\w.]+)"
)
_MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_SYSTEMS = {"Linux": "linux", "Darwin": "macos"}
_PROBE = (
    "import sys,platform,json;"
    "print(json.dumps({'executable':sys.executable,'version':list(sys.version_info[:2]),"
    "'system':platform.system(),'machine':platform.machine(),'libc':platform.libc_ver()[1]}))"
)


@dataclass(frozen=True)
class _Interpreter:
    executable: str
    version: tuple[int, int]
    system: str
    machine: str
    libc: str

    def runs(self, platform: str) -> bool:
        """True if `platform`'s compiled parts load in this interpreter."""
        parts = _PLATFORM.fullmatch(platform)
        if parts is None:
            return False
        version = (int(parts["major"]), int(parts["minor"]))
        same = (self.system, self.machine, self.version) == (parts["system"], parts["machine"], version)
        return same and (not parts["floor"].startswith("gnu") or _at_least(self.libc, parts["floor"][3:]))


def fitting_platform(site: Site, bundle: OpenBundle, python: str) -> tuple[str, str]:
    """The bundle's platform for this host and the interpreter there. Raises TargetError that names both
    sides.
    """
    platforms = sorted(bundle.spec.runtime["platforms"])
    seen = []
    for candidate in _candidates(site, python, platforms):
        found = _probe(site, candidate)
        if found is None:
            continue
        seen.append(f"Python {found.version[0]}.{found.version[1]} ({found.system}-{found.machine})")
        for platform in platforms:
            if found.runs(platform):
                return platform, found.executable
    have = ", ".join(dict.fromkeys(seen)) or "no Python"
    raise TargetError(
        f"{site.host.name} cannot run {bundle.reference}, which is built for {', '.join(platforms)}",
        cause=f"it has {have}",
        fix="Install that Python there, set `python` of the target, or build for this platform",
    )


def preflight(
    site: Site, bundle: OpenBundle, settings: HostedSettings, observed: Deployment
) -> list[Problem]:
    """What would make a deploy fail, found without changing anything."""
    problems = []
    try:
        platform, _ = fitting_platform(site, bundle, settings.python)
        problems += _absent(bundle, platform, observed)
        problems += _room(site, bundle, platform, observed)
    except TargetError as error:
        problems.append(Problem(what=f"{error.what}: {error.cause}", fix=error.fix))
    return problems + _place(settings, observed)


def _place(settings: HostedSettings, observed: Deployment) -> list[Problem]:
    """The socket outlives releases, so it stays where it was opened."""
    host, port = observed.facts.get("host"), observed.facts.get("port")
    if not observed.exists or not port or (settings.host, settings.port or port) == (host, port):
        return []
    what = f"the service listens on {host}:{port}, not on {settings.host}:{settings.port or port}"
    fix = "That cannot change under a running service: destroy it first, or set what it was"
    return [Problem(what=what, fix=fix)]


def _absent(bundle: OpenBundle, platform: str, observed: Deployment) -> list[Problem]:
    """Layers that a bundle came without, as it was imported or pulled for some platforms only."""
    lacking = [
        layer.title
        for layer in bundle.manifest.layers_for(platform)
        if layer.digest in bundle.absent and layer.digest not in observed.present
    ]
    if not lacking:
        return []
    what = f"{bundle.reference} is here without {', '.join(lacking)}, which {platform} needs"
    return [Problem(what=what, fix=f"Import or pull it for {platform}")]


def _room(site: Site, bundle: OpenBundle, platform: str, observed: Deployment) -> list[Problem]:
    """Layers are there twice for a moment: as sent, and unpacked."""
    layers = bundle.manifest.layers_for(platform)
    need = 2 * sum(layer.size for layer in layers if layer.digest not in observed.present)
    free = int(site.call("facts")["freeBytes"])
    if free >= need:
        return []
    what = f"{free / 1e6:,.0f} MB are free on {site.host.name}, {need / 1e6:,.0f} MB are needed"
    return [Problem(what=what, fix="Free some space, or set `base` to a folder on another disk")]


def _candidates(site: Site, python: str, platforms: list[str]) -> list[str]:
    if python:
        return [python]
    named = []
    for platform in platforms:
        parts = _PLATFORM.fullmatch(platform)
        if parts:
            named.append(f"python{parts['major']}.{parts['minor']}")
    return [site.python, *dict.fromkeys(named)]


def _probe(site: Site, candidate: str) -> _Interpreter | None:
    try:
        done = site.host.run([candidate, "-I", "-S", "-c", _PROBE], timeout=20)
        said = json.loads(done.out)
    except (TargetError, ValueError):
        return None
    return _Interpreter(
        executable=said["executable"] or candidate,
        version=(said["version"][0], said["version"][1]),
        system=_SYSTEMS.get(said["system"], said["system"]),
        machine=_MACHINES.get(said["machine"], said["machine"]),
        libc=said["libc"],
    )


def _at_least(have: str, floor: str) -> bool:
    def numbers(text: str) -> list[int]:
        return [int(n) for n in re.findall(r"\d+", text)]

    return numbers(have) >= numbers(floor)
