"""Where a service listens, and that it stays there."""

from __future__ import annotations

from typing import Any

from mlship_runtime.errors import SiteError


def kept_external(before: dict[str, Any] | None, given: dict[str, Any] | None) -> dict[str, Any] | None:
    """The external place that is wanted, with the free port that was chosen before."""
    if not given:
        return None
    host, port = str(given["host"]), int(given["port"])
    kept = (before or {}).get("external")
    if kept and port == 0 and kept["host"] == host:
        port = kept["port"]
    return {"host": host, "port": port}


def kept_port(before: dict[str, Any] | None, host: str, port: int) -> int:
    """The port that is wanted; of free ones (0) the one that was chosen before."""
    return int(before["port"]) if before and port == 0 and before["host"] == host else port


def is_at(now: dict[str, Any] | None, wanted: dict[str, Any] | None) -> bool:
    """Whether the external listener is where it is wanted (a port of 0: any)."""
    if not now or not wanted:
        return not now and not wanted
    return wanted["port"] in (0, now["port"]) and wanted["host"] == now["host"]


def check_place(name: str, known: tuple[str, int], wanted: tuple[str, int]) -> None:
    """Raise SiteError if the service `name`, which listens at `known`, is wanted elsewhere."""
    if wanted[0] == known[0] and wanted[1] in (0, known[1]):
        return
    raise SiteError(
        f"{name} holds {known[0]}:{known[1]}, not {wanted[0]}:{wanted[1]}",
        cause="a running service keeps its port",
        fix="Set the old one, or destroy the service and deploy again",
    )


def place(status: dict[str, Any]) -> dict[str, Any]:
    """What a supervisor's status says of that, for the answer to an order."""
    return {"host": status["host"], "port": status["port"], "external": status.get("external")}
