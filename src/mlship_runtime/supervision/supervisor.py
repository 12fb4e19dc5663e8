"""The process that keeps one service alive: it holds the port, runs releases, and moves traffic between them.

Its orders come over a control socket (see `orders`); what must outlive it lies in files. Workers do not die
with it: the next supervisor adopts them and takes the listening socket from one of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from mlship_runtime.errors import RuntimeFault, SiteError
from mlship_runtime.files import as_site_errors, make_folder, read_numbered, take_lock, write_json
from mlship_runtime.supervision import listening, notify
from mlship_runtime.supervision.adoption import find_workers, listener_of
from mlship_runtime.supervision.control import fault_data
from mlship_runtime.supervision.control_server import ControlServer
from mlship_runtime.supervision.eventlog import EventLog, bound
from mlship_runtime.supervision.layout import Layout, layout_of, private_folder
from mlship_runtime.supervision.orders import Orders
from mlship_runtime.supervision.service import Service

_ROUND = 5.0  # seconds between two looks for stray workers and long logs
_LOCK_WAIT = 10.0  # seconds that a predecessor may take to leave


def main(service_folder: str) -> int:
    """Supervise the service in `service_folder` until told to leave."""
    layout = layout_of(Path(service_folder))
    try:
        with as_site_errors(f"the supervisor of {layout.name} cannot start"):
            lock = take_lock(layout.lock, f"the service {layout.name}", _LOCK_WAIT)
            try:
                return asyncio.run(_supervise(layout))
            finally:
                os.close(lock)
    except RuntimeFault as fault:
        sys.stderr.write(f"{fault}\n")
        _report({"ok": False, "error": fault_data(fault)})
        return fault.exit_code


async def _supervise(layout: Layout) -> int:
    events = EventLog(layout.events)
    make_folder(layout.logs)
    if not layout.run_link.is_symlink():  # else systemd has made it
        private_folder(layout.run)
    if layout.state_link.is_symlink():
        make_folder(layout.temporary)
    settings = read_numbered(layout.settings) or {}
    passed = listening.passed()
    if layout.run_link.is_symlink() and "internal" not in passed:  # its socket unit is asked again
        raise SiteError(f"systemd holds no port for {layout.name}", fix="Start its socket unit")
    found = await find_workers(layout, set())
    listener = passed.get("internal") or _listener(layout, settings, found)
    external = passed.get("external") or _external(layout, settings, found)
    service = Service(layout, listener, external, str(settings.get("python") or sys.executable), events)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGCHLD, service.reap)
    orders = Orders(service)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, orders.finished.set)
    service.take_over(found)
    server = ControlServer(layout.supervisor_socket, orders.handle)
    await server.start()
    host, port = listener.getsockname()[:2]
    events.note("supervisor started", pid=os.getpid(), host=host, port=port, adopted=len(found))
    _report(
        {"ok": True, "pid": os.getpid(), "host": host, "port": port, "external": listening.place_of(external)}
    )
    notify.tell("READY=1")
    tasks = [
        asyncio.ensure_future(_make_rounds(service, events)),
        asyncio.ensure_future(notify.keep_telling()),
    ]
    await orders.finished.wait()
    await asyncio.sleep(0.05)  # the answer to the order to leave goes out first
    for task in tasks:
        task.cancel()
    await server.close()
    events.note("supervisor left", pid=os.getpid())
    return 0


def _listener(layout: Layout, settings: dict[str, Any], found: list[Any]) -> socket.socket:
    """The service's socket: from a worker that has it, else bound anew; a free port is chosen only once."""
    listener = listener_of(found)
    host, port = str(settings.get("host", "127.0.0.1")), int(settings.get("port", 0))
    if listener is None:
        listener = listening.bind(host, port)
    actual = listener.getsockname()[1]
    if port not in (0, actual):
        raise SiteError(
            f"{layout.name} still serves on port {actual}, not {port}",
            fix="Stop its releases to change the port",
        )
    if settings.get("port") != actual:
        write_json(layout.settings, {"schemaVersion": 1, **settings, "host": host, "port": actual})
    return listener


def _external(layout: Layout, settings: dict[str, Any], found: list[Any]) -> socket.socket | None:
    """The external listener, if one is wanted: from a worker that has it at the right place, else bound
    anew. Its free port is chosen only once, too."""
    wanted = settings.get("external")
    if not wanted:
        return None
    host, port = str(wanted["host"]), int(wanted["port"])
    listener = listener_of(found, "external")
    if listener is not None and listening.place_of(listener) != {"host": host, "port": port}:
        listener.close()  # of before it moved
        listener = None
    listener = listener or listening.bind(host, port)
    place = {"host": host, "port": listener.getsockname()[1]}
    if place != wanted:
        now = read_numbered(layout.settings) or settings
        write_json(layout.settings, {"schemaVersion": 1, **now, "external": place})
    return listener


async def _make_rounds(service: Service, events: EventLog) -> None:
    while True:
        await asyncio.sleep(_ROUND)
        try:
            for path in service.layout.logs.glob("*.log"):
                bound(path)
            for worker in await find_workers(service.layout, service.known_pids()):
                events.note("stray worker", release=worker.sockets.number, pid=worker.pid)
                service.dismiss(worker)
        except (OSError, RuntimeFault) as error:
            events.note("round failed", error=error)


def _report(answer: dict[str, Any]) -> None:
    """Tell whoever started this process how it went, once; then there is no more standard output."""
    with contextlib.suppress(OSError):
        os.write(1, (json.dumps(answer) + "\n").encode("utf-8"))
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)
