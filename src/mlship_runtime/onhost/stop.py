"""Ends releases, with the supervisor's help or, where there is none, worker by worker."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from mlship_runtime.errors import RuntimeFault, SiteError
from mlship_runtime.onhost.observe import supervisor_status, worker_status
from mlship_runtime.supervision.control import Unreachable, request
from mlship_runtime.supervision.layout import Layout, WorkerSockets

DRAIN = 5.0  # seconds for connections that nobody takes over
_SLACK = 20.0  # seconds for a supervisor to see workers off, kills included


def stop_release(layout: Layout, number: int, fence: int | None, drain: float = DRAIN) -> None:
    """End the workers of release `number`, which is not live. Raises SiteError if one cannot be ended."""
    order = {"verb": "stop", "release": number, "fence": fence, "drain": drain}
    try:
        request(layout.supervisor_socket, order, drain + _SLACK)
        return
    except Unreachable:
        if supervisor_status(layout):
            raise
    end_workers([sockets for sockets in layout.found_workers() if sockets.number == number], drain)


def end_workers(workers: list[WorkerSockets], drain: float) -> None:
    """Ask workers to stop, then press them, until none answers. Raises SiteError."""
    for sockets in workers:
        with contextlib.suppress(RuntimeFault):
            request(sockets.control, {"verb": "stop", "deadline": drain}, 3.0)
    for number, patience in ((0, drain + 3), (signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        for sockets in workers:
            if number and worker_status(sockets) and _is_theirs(sockets):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(sockets.pid, number)
        if _gone(workers, patience):
            return
    raise SiteError(f"processes {', '.join(str(sockets.pid) for sockets in workers)} do not end")


def _is_theirs(sockets: WorkerSockets) -> bool:
    """Whether the process runs as the owner of the sockets that name it: those of a unit are not root's, and
    what they say must not make root end something else."""
    owner = sockets.run.stat().st_uid
    if os.geteuid() != 0 or owner == 0:
        return True
    try:
        return Path(f"/proc/{sockets.pid}").stat().st_uid == owner
    except FileNotFoundError:
        return False


def _gone(workers: list[WorkerSockets], patience: float) -> bool:
    end = time.monotonic() + patience
    while any(worker_status(sockets) for sockets in workers):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    for sockets in workers:
        sockets.unlink()
    return True
