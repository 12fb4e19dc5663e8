"""Which of a bundle's platforms a host can run, and with which interpreter."""

from __future__ import annotations

import json
from dataclasses import dataclass

from mlship.bundle.open import OpenBundle
from mlship.errors import TargetError
from mlship.host.protocol import Unreached
from mlship.host.site import Site
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
    seen, why = [], ""
    for candidate in _candidates(site, python, platforms):
        found = _probe(site, candidate)
        if found is None:
            continue
        seen.append("Python {}.{}".format(*found.platform.python) + f" ({found.platform})")
        for platform in platforms:
            why = misfit(platform, found.platform)
            if not why:
                return platform, found.executable
    have = ", ".join(dict.fromkeys(seen)) or "no Python"
    reason = f": {why}" if why and len(platforms) == len(seen) == 1 else ""
    raise TargetError(
        f"{site.host.name} cannot run {bundle.reference}, which is built for {', '.join(platforms)}",
        cause=f"it has {have}{reason}",
        fix="Install that Python there, set `python` of the target, or build for this platform",
    )


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
    except Unreached:
        raise
    except (TargetError, ValueError, TypeError):  # no Python there, or one that says something else
        return None
