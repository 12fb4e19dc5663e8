"""Why a release has not become ready, as a fault that says so."""

from __future__ import annotations

from mlship_runtime.errors import NotReady, RuntimeFault
from mlship_runtime.files import last_lines, read_numbered
from mlship_runtime.supervision.control import fault_of
from mlship_runtime.supervision.health import memory_of
from mlship_runtime.supervision.layout import Layout
from mlship_runtime.supervision.slot import ending
from mlship_runtime.supervision.worker_handle import WorkerHandle


def late(layout: Layout, number: int, timeout: float) -> RuntimeFault:
    """A worker has taken longer than `timeout` seconds."""
    return NotReady(
        f"release {number} was not ready after {timeout:g} s",
        cause=_last_line(layout, number),
        fix=f"Look at mlship logs --release {number}, or raise `ready_timeout`",
    )


def reason(layout: Layout, handle: WorkerHandle) -> RuntimeFault:
    """Why a worker ended before it was ready: what it wrote down, else how it ended."""
    number = handle.sockets.number
    written = read_numbered(layout.failure(number))
    if written:
        return fault_of(written.get("error") or {})
    return NotReady(
        f"worker {handle.index} of release {number} {ending(handle.exit_code)} before it was ready",
        cause=_last_line(layout, number),
        fix=f"Look at mlship logs --release {number}",
    )


def too_large(handle: WorkerHandle, ceiling: int | None) -> RuntimeFault | None:
    """A worker that is over the ceiling before any request would be replaced again and again."""
    held = memory_of(handle.pid)
    if ceiling is None or held is None or held <= ceiling:
        return None
    return NotReady(
        f"a worker of release {handle.sockets.number} holds {held >> 20} MiB when it is ready",
        cause=f"its ceiling is {ceiling >> 20} MiB",
        fix="Raise `memory`, or set fewer `workers`",
    )


def _last_line(layout: Layout, number: int) -> str:
    return (last_lines(layout.log(number), 1) or ["it wrote no log"])[0]
