"""What would make a deploy to a host fail, found without changing anything there."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from mlship.bundle.open import OpenBundle
from mlship.errors import TargetError
from mlship.host.site import Site
from mlship.target.deployment import Deployment, Problem
from mlship.target.hosted_platform import fitting_platform
from mlship.target.hosted_settings import HostedSettings

_CLOCK = 60.0  # seconds by which the clocks may differ
_DATED = 86400.0  # from here on certificates are valid too early, or no longer
_NEEDED_BY = {"/onnxruntime/": "libstdc++.so.6"}  # what a package takes from the host
_ELSEWHERE = "set `base` to a folder on another disk"


def preflight(
    site: Site, bundle: OpenBundle, settings: HostedSettings, observed: Deployment
) -> list[Problem]:
    """The platform, what the bundle lacks; then the host itself: disk, rights, Python, ports, clock."""
    try:
        platform, _ = fitting_platform(site, bundle, settings.python)
    except TargetError as error:
        return [
            Problem(what=f"{error.what}: {error.cause}", fix=error.fix),
            *_owner(observed),
            *_place(settings, observed),
        ]
    asked, before = time.time(), time.monotonic()
    facts = site.call("facts", libraries=_libraries(bundle, platform), ports=_ports(settings, observed))
    off = facts["clock"] - asked
    off -= min(max(off, 0.0), time.monotonic() - before)  # what the answer took
    host = site.host.name
    return [
        *_absent(bundle, platform, observed),
        *_room(host, facts, bundle, platform, observed),
        *_rights(host, facts, site),
        *_python(host, facts),
        *(Problem(what=f"{port['what']} ({host})", fix=port["fix"]) for port in facts["ports"]),
        *_clock(host, off, settings),
        *_owner(observed),
        *_keeper(observed),
        *_place(settings, observed),
    ]


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


def _owner(observed: Deployment) -> Iterator[Problem]:
    """Two targets with one base folder and one service would share releases, and have a history each."""
    if owner := observed.facts.get("stranger"):
        what = f"the service {observed.service} belongs to the target {owner} there"
        yield Problem(what=what, fix=f"Set a `base` or a `service` of its own, or call this target {owner}")


def _keeper(observed: Deployment) -> list[Problem]:
    """Who is to keep the service must be there, and be the one who keeps it now."""
    trouble = observed.facts.get("trouble")
    return [Problem(what=trouble["what"], fix=trouble["fix"])] if trouble else []


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


def _room(
    host: str, facts: Mapping[str, Any], bundle: OpenBundle, platform: str, observed: Deployment
) -> Iterator[Problem]:
    """Layers are there twice for a moment: as sent, and unpacked."""
    layers = [x for x in bundle.manifest.layers_for(platform) if x.digest not in observed.present]
    need = 2 * sum(layer.size for layer in layers)
    files = sum(len(bundle.spec.files.get(layer.digest, ())) for layer in layers)
    if facts["readOnly"] and need:
        yield Problem(
            what=f"the disk of `base` on {host} is read-only", fix=f"Make it writable, or {_ELSEWHERE}"
        )
    elif facts["freeBytes"] < need:
        what = f"{facts['freeBytes'] / 1e6:,.0f} MB are free on {host}, {need / 1e6:,.0f} MB are needed"
        yield Problem(what=what, fix=f"Free some space, or {_ELSEWHERE}")
    elif facts["freeFiles"] is not None and facts["freeFiles"] < files:
        what = f"the disk of `base` on {host} takes {facts['freeFiles']:,} files more, {files:,} are needed"
        yield Problem(what=what, fix=f"Remove some, or {_ELSEWHERE}")


def _rights(host: str, facts: Mapping[str, Any], site: Site) -> Iterator[Problem]:
    folder, user = facts["folder"], facts["user"]
    if not facts["writable"] and not facts["readOnly"]:
        give = f"sudo install -d -m 700 -o {user} {site.base}"
        what = f"{user} may not write {folder} on {host}"
        yield Problem(what=what, fix=f"Give that user a folder ({give}), or set `base` to one it has")
    if facts["noExec"]:
        what = f"no program may run from {folder} on {host}: its disk is mounted noexec"
        yield Problem(what=what, fix=f"Mount it without noexec, or {_ELSEWHERE}")


def _python(host: str, facts: Mapping[str, Any]) -> Iterator[Problem]:
    if facts["lacks"]:
        what = f"the Python on {host} lacks {', '.join(facts['lacks'])} of its standard library"
        yield Problem(what=what, fix="Install it whole (Debian: python3, not python3-minimal)")
    for library in facts["libraries"]:
        what = f"{library} is not on {host}, and a package of the bundle needs it"
        yield Problem(what=what, fix="Install it there (Debian: libstdc++6)")


def _clock(host: str, off: float, settings: HostedSettings) -> Iterator[Problem]:
    """Nothing of ours is dated but certificates: they decide whether a wrong clock is in the way."""
    if abs(off) <= _CLOCK:
        return
    size = f"{abs(off) / _DATED:,.0f} days" if abs(off) > 2 * _DATED else f"{abs(off):,.0f} s"
    way = "ahead of" if off > 0 else "behind"
    external = settings.external
    dated = bool(external and (external.certificate or external.client_ca)) and abs(off) > _DATED
    why = ", and certificates have dates" if dated else ", so its logs are misdated"
    fix = "Set it there: timedatectl set-ntp true (or look at the clock here)"
    yield Problem(what=f"the clock of {host} is {size} {way} this one{why}", fix=fix, blocks=dated)


def _libraries(bundle: OpenBundle, platform: str) -> list[str]:
    """What the packages for `platform` take from the host."""
    files = bundle.spec.files
    layers = bundle.manifest.layers_for(platform)
    paths = [entry.path for layer in layers for entry in files.get(layer.digest, ())]
    linux = platform.startswith("linux-")
    return [library for part, library in _NEEDED_BY.items() if linux and any(part in path for path in paths)]


def _ports(settings: HostedSettings, observed: Deployment) -> list[dict[str, Any]]:
    """The listeners that a deploy would open. What a service has it keeps."""
    found = []
    if not observed.exists and settings.port:
        found.append({"host": settings.host, "port": settings.port})
    external = settings.external
    if external and external.port and not observed.facts.get("external"):
        found.append({"host": external.host, "port": external.port})
    return found
