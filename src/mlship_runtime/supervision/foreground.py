"""One release in the foreground, without a supervisor: what `mlship serve` starts.

It says on standard output, in one line, where it answers or why it does not. It opens its port, and that of
its `external` listener if it has one, or serves on the sockets that it is started with: standard input, and
what `listening.EXTERNAL` names. On SIGTERM it passes its connections to the release that listens at the Unix
socket named in the file `heir` beside its record, if there is one.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlship_runtime.errors import RuntimeFault
from mlship_runtime.supervision import listening
from mlship_runtime.supervision.control import fault_data
from mlship_runtime.supervision.heir import handover_socket, heir_of
from mlship_runtime.supervision.launch import check_machine, own_command
from mlship_runtime.supervision.loading import load, threads_of
from mlship_runtime.supervision.release_record import read_record
from mlship_runtime.supervision.unfailing import speak_on

if TYPE_CHECKING:  # what comes with the bundle is imported after it was verified
    from mlship_runtime.model.pipeline import Pipeline

_STDERR = 2
_DRAIN = 5.0  # seconds for open connections after the first signal


def main(release: str, host: str, port: int | None, verified: str = "") -> int:
    """Serve the release in the record `release` on `host`:`port` (no port: on standard input) until
    SIGTERM or SIGINT: first verify it, then become its own code, which is told the digest of the tree that
    was `verified`."""
    speak_on()
    end_when_told()
    try:
        record = read_record(Path(release))
        if not verified:
            options = ["--release", release, "--host", host]
            options += ["--port", str(port)] if port is not None else []
            command = own_command(record, sys.pycache_prefix, "serve", options)
            os.execv(command[0], command)  # noqa: S606  no shell: the interpreter that runs this
        check_machine(record)
        outside = record["settings"].get("external")
        if port is None:
            listener, external = socket.socket(fileno=os.dup(0)), listening.inherited_external()
        else:
            listener = listening.bind(host, port)
            external = listening.bind(outside["host"], int(outside["port"])) if outside else None
        pipeline = load(record, verified, threads_of(record["settings"]))
    except RuntimeFault as fault:
        return _failed(fault)
    from mlship_runtime.serving import server

    folder = Path(release).parent if port is None else None
    try:
        server.run(_serve(pipeline, listener, external, record, folder))
    except RuntimeFault as fault:
        return _failed(fault)
    return 0


def end_when_told() -> None:
    """Until there is something to drain, a signal ends this at once: the system spares process 1 of a
    container every signal that it does not handle."""
    if os.getpid() == 1:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda told, _: os._exit(128 + told))


async def _serve(
    pipeline: Pipeline,
    listener: socket.socket,
    external: socket.socket | None,
    record: dict[str, Any],
    folder: Path | None,
) -> None:
    """`folder` is where heirs are told, if there can be one. Raises SiteError for settings that cannot be."""
    from mlship_runtime.serving.accesslog import AccessLog
    from mlship_runtime.serving.application import Application
    from mlship_runtime.serving.batching import read_batching
    from mlship_runtime.serving.door import Door
    from mlship_runtime.serving.limits import read_limits
    from mlship_runtime.serving.server import Server

    settings = record["settings"]
    limits = read_limits(pipeline.spec.runtime.get("limits", {}), settings.get("limits", {}))
    log = AccessLog(_STDERR) if settings.get("accessLog") else None
    door = Door(settings["external"]) if external is not None else None
    application = Application(pipeline, int(record["number"]), limits=limits)
    server = Server(application, limits, log, read_batching(settings.get("batch", {})))
    finished, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, finished.set)
    if folder is not None:
        await server.receive_handover(str(handover_socket(folder)))
    server.accept_on(listener)
    if external is not None:
        server.accept_on(external, door)
    place = {**(listening.place_of(listener) or {}), "digest": record["digest"]}
    if external is not None:
        scheme = "https" if settings["external"].get("certificate") else "http"
        place["external"] = {**(listening.place_of(external) or {}), "scheme": scheme}
    _say({"ok": True, "pid": os.getpid(), **place})
    await finished.wait()
    server.stop_accepting()
    heir = heir_of(folder) if folder is not None else None
    await server.drain(heir, _DRAIN)
    await server.close()


def _failed(fault: RuntimeFault) -> int:
    _say({"ok": False, "error": fault_data(fault)})
    sys.stderr.write(f"{fault}\n")
    return fault.exit_code


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
