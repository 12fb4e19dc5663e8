"""Which of a bundle's platforms a host can run, with which interpreter, and what else stands in the way."""

from __future__ import annotations

import json
from dataclasses import dataclass

from mlship.bundle.open import OpenBundle
from mlship.errors import TargetError
from mlship.host.site import Site
from mlship.target.deployment import Deployment, Problem
from mlship.target.hosted_settings import HostedSettings
from mlship_runtime.platforms import Platform, misfit, platform_of, read_platform

_PROBE = (
    "import sys,platform,json;"
    "print(json.dumps([sys.executable,[sys.platform,platform.machine(),list(platform.libc_ver()),"
    "platform.mac_ver()[0],list(sys.version_info[:2])]]))"
)


@dataclass(frozen=True)
class _Interpreter:
    executable: str
    platform: Platform


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
        seen.append("Python {}.{}".format(*found.platform.python) + f" ({found.platform})")
        for platform in platforms:
            if not misfit(platform, found.platform):
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
    faults = settings.external.faults() if settings.external else ()
    found = [Problem(what=what, fix=fix) for what, fix in faults]
    host, port = observed.facts.get("host"), observed.facts.get("port")
    if not observed.exists or not port or (settings.host, settings.port or port) == (host, port):
        return found
    what = f"the service listens on {host}:{port}, not on {settings.host}:{settings.port or port}"
    fix = "That cannot change under a running service: destroy it first, or set what it was"
    return [*found, Problem(what=what, fix=fix)]


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
    facts = site.call("facts")
    if facts["readOnly"] and need:
        what = f"the disk of `base` on {site.host.name} is read-only"
        return [Problem(what=what, fix="Make it writable, or set `base` to a folder on another disk")]
    free = int(facts["freeBytes"])
    if free >= need:
        return []
    what = f"{free / 1e6:,.0f} MB are free on {site.host.name}, {need / 1e6:,.0f} MB are needed"
    return [Problem(what=what, fix="Free some space, or set `base` to a folder on another disk")]


def _candidates(site: Site, python: str, platforms: list[str]) -> list[str]:
    if python:
        return [python]
    named = []
    for platform in platforms:
        asked = read_platform(platform)
        if asked:
            named.append("python{}.{}".format(*asked.python))
    return [site.python, *dict.fromkeys(named)]


def _probe(site: Site, candidate: str) -> _Interpreter | None:
    try:
        done = site.host.run([candidate, "-I", "-S", "-c", _PROBE], timeout=20)
        executable, facts = json.loads(done.out)
        return _Interpreter(executable or candidate, platform_of(*facts))
    except (TargetError, ValueError, TypeError):
        return None
