"""What a service is and does, from its files and processes. Changes nothing, works when all is down."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mlship_runtime.errors import RuntimeFault
from mlship_runtime.files import read_numbered
from mlship_runtime.onhost.choice import NONE, about
from mlship_runtime.onhost.owner import stranger_to
from mlship_runtime.supervision import fence
from mlship_runtime.supervision.control import NoAnswer, Unreachable, fault_of, request
from mlship_runtime.supervision.health import descriptors_of, memory_of, read_health
from mlship_runtime.supervision.layout import Layout, WorkerSockets
from mlship_runtime.supervision.live import Live, read_live
from mlship_runtime.supervision.probe import digest_on_socket
from mlship_runtime.supervision.release_record import read_record

_PATIENCE = 3.0  # seconds for a process to answer
_RANK = (
    "serving",
    "starting",
    "ready",
    "draining",
)  # of several states of workers, the first names the release


def do_observe(layout: Layout, given: dict[str, Any]) -> dict[str, Any]:
    """Service, supervisor, live release, layers, and every release with its state and workers; and who keeps
    the service, where `units` says who is to keep it."""
    settings, live = read_numbered(layout.settings), read_live(layout)
    supervisor = supervisor_status(layout)
    running = {entry["number"]: entry for entry in (supervisor["releases"] if supervisor else _found(layout))}
    known = supervisor or settings or {}
    pid = supervisor["pid"] if supervisor else None
    return {
        "service": {"name": layout.name, **(settings or {})} if _is_there(layout) else None,
        "incoming": layout.incoming.is_dir(),
        "left": layout.site.is_unused and any(map(os.path.lexists, layout.site.made)),
        "fence": fence.highest(layout),
        "stranger": stranger_to(layout, given),
        "keeper": about(layout, str(given.get("units") or NONE)),
        "supervisor": {"pid": pid, "alive": supervisor is not None},
        "live": live.release,
        "host": known.get("host"),
        "port": known.get("port"),
        "external": known.get("external"),
        "memory": (settings or {}).get("memory"),
        "files": (settings or {}).get("files"),
        "waiting": known.get("waiting") if supervisor else None,
        "layers": sorted(
            f"sha256:{path.name}" for path in layout.site.layers.glob("*") if len(path.name) == 64
        ),
        "releases": [_release(layout, number, running.get(number), live) for number in layout.numbers()],
    }


def _is_there(layout: Layout) -> bool:
    """A service of which no more was done than to send some of its first release is there, too."""
    return layout.folder.is_dir() or layout.incoming.is_dir()


def supervisor_status(layout: Layout, timeout: float = _PATIENCE) -> dict[str, Any] | None:
    """What the supervisor says, None if there is none, or none that answers."""
    try:
        return request(layout.supervisor_socket, {"verb": "status"}, timeout)
    except Unreachable:
        return None


def worker_status(sockets: WorkerSockets) -> dict[str, Any] | None:
    """What a worker says, None if it is gone; one that does not answer counts as starting."""
    try:
        return request(sockets.control, {"verb": "status"}, _PATIENCE)
    except NoAnswer:
        return {"state": "starting"}
    except Unreachable:
        return None


def _found(layout: Layout) -> list[dict[str, Any]]:
    """The workers as the supervisor would list them, asked one by one since it is gone."""
    releases: dict[int, dict[str, Any]] = {}
    for sockets in layout.found_workers():
        status = worker_status(sockets)
        if status is None:
            continue
        worker = {"index": sockets.index, "pid": sockets.pid, "restarts": 0, "socket": str(sockets.web)}
        entry = releases.setdefault(sockets.number, {"number": sockets.number, "error": None, "workers": []})
        entry["workers"].append({**worker, "state": status["state"]})
    for entry in releases.values():
        entry["state"] = min((worker["state"] for worker in entry["workers"]), key=_RANK.index)
    return list(releases.values())


def _release(layout: Layout, number: int, running: dict[str, Any] | None, live: Live) -> dict[str, Any]:
    record = read_record(layout.record(number))
    state, error, workers = "staged", None, []
    if running:
        state, error, workers = running["state"], running["error"], running["workers"]
    if state in ("staged", "stopped"):
        state, error = _state_at_rest(layout, number)
    shown = {name: record[name] for name in ("digest", "reference", "settings", "settingsDigest", "platform")}
    return {
        **shown,
        "signedBy": record.get("signedBy"),
        "number": number,
        "state": state,
        "served": number in live.served,
        "error": str(fault_of(error)) if error else None,
        "errorKind": error["kind"] if error else None,
        "workers": [_asked(worker) for worker in workers if worker["pid"] is not None],
        "ceiling": running.get("ceiling") if running else None,
        "health": asdict(read_health(layout.health(number))),
        "logs": str(layout.log(number)),
    }


def _asked(worker: dict[str, Any]) -> dict[str, Any]:
    """A worker with what it holds, and `answers`: whether one that serves answers HTTP, for its state does
    not show a hang."""
    holds = {"memory": memory_of(worker["pid"]), "descriptors": descriptors_of(worker["pid"])}
    return {**worker, **holds, "answers": worker["state"] != "serving" or _answers(worker["socket"])}


def _answers(socket: str) -> bool:
    try:
        digest_on_socket(Path(socket), _PATIENCE)
    except RuntimeFault:
        return False
    return True


def _state_at_rest(layout: Layout, number: int) -> tuple[str, dict[str, Any] | None]:
    """A release without workers: it failed, was stopped, or was never started."""
    try:
        failure = read_numbered(layout.failure(number))
    except RuntimeFault as fault:
        return "failed", {"kind": fault.kind, "what": fault.what, "cause": fault.cause}
    if failure:
        return "failed", failure.get("error") or {}
    return ("stopped" if layout.log(number).exists() else "staged"), None
