"""Where a release on a host answers, and from where that can be reached."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlship.config.external import is_loopback
from mlship.host.protocol import Host
from mlship.target.deployment import Endpoint, ReleaseState
from mlship_runtime.supervision.listening import reach

_ASKS = {"tokens": "token", "clientCa": "certificate"}


def endpoints(seen: Mapping[str, Any], live: ReleaseState, host: Host) -> tuple[Endpoint, ...]:
    """Those of the live release: the port of the service, and its external listener if it has one."""
    inside = _endpoint("internal" if is_loopback(seen["host"]) else "external", "http", seen, host)
    external, settings = seen["external"], live.settings.get("external")
    if not external or not settings:
        return (inside,)
    scheme = "https" if settings.get("certificate") else "http"
    asks = tuple(word for name, word in _ASKS.items() if settings.get(name))
    return inside, _endpoint("external", scheme, external, host, asks)


def inside_address(facts: Mapping[str, Any]) -> str:
    """The port of the service as its own host reaches it."""
    return f"tcp:{reach(facts['host'])}:{facts['port']}"


def _endpoint(
    kind: Any, scheme: str, place: Mapping[str, Any], host: Host, asks: tuple[str, ...] = ()
) -> Endpoint:
    at = reach(place["host"])
    if at != place["host"] and host.address:  # it listens on every address that the machine has
        at = host.address
    url = f"{scheme}://{f'[{at}]' if ':' in at else at}:{place['port']}"
    return Endpoint(kind=kind, url=url, only_on=host.name if is_loopback(place["host"]) else "", asks=asks)
