"""Finds workers that a dead supervisor left behind, and the listening socket that they hold."""

from __future__ import annotations

import contextlib
import socket

from mlship_runtime.errors import RuntimeFault
from mlship_runtime.supervision.control import Unreachable, request_socket
from mlship_runtime.supervision.layout import Layout
from mlship_runtime.supervision.worker_handle import WorkerHandle


async def find_workers(layout: Layout, known: set[int]) -> list[WorkerHandle]:
    """Handles to the workers that answer, but not those `known` by pid. Sockets of dead ones are removed."""
    found = []
    for sockets in layout.found_workers():
        if sockets.pid in known:
            continue
        handle = WorkerHandle(sockets, None)
        try:
            await handle.connect()
        except Unreachable:
            sockets.unlink()
            continue
        with contextlib.suppress(RuntimeFault):  # stopped or hung: looked at again in the next round
            await handle.refresh(timeout=3.0)
            found.append(handle)
    return found


def listener_of(workers: list[WorkerHandle], which: str = "") -> socket.socket | None:
    """The listening socket (or the one that is called `which`) from the first worker that hands it out."""
    for worker in workers:
        with contextlib.suppress(RuntimeFault):
            found = request_socket(worker.sockets.control, which=which)
            found.setblocking(False)
            return found
    return None
