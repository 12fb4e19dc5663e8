"""One release in the foreground, without a supervisor: what `mlship serve` starts.

It says on standard output, in one line, where it answers or why it does not.
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
from mlship_runtime.supervision.launch import check_machine, own_command
from mlship_runtime.supervision.loading import load
from mlship_runtime.supervision.release_record import read_record

if TYPE_CHECKING:  # what comes with the bundle is imported after it was verified
    from mlship_runtime.model.pipeline import Pipeline

_DRAIN = 5.0  # seconds for open connections after the first signal


def main(release: str, host: str, port: int, verified: str = "") -> int:
    """Serve the release in the record `release` on `host`:`port` until SIGTERM or SIGINT: first verify it,
    then become its own code, which is told the digest of the tree that was `verified`."""
    try:
        record = read_record(Path(release))
        if not verified:
            options = ["--release", release, "--host", host, "--port", str(port)]
            command = own_command(record, sys.pycache_prefix, "serve", options)
            os.execv(command[0], command)  # noqa: S606  no shell: the interpreter that runs this
        check_machine(record)
        listener = listening.bind(host, port)
        pipeline = load(record, verified)
    except RuntimeFault as fault:
        _say({"ok": False, "error": fault_data(fault)})
        sys.stderr.write(f"{fault}\n")
        return fault.exit_code
    from mlship_runtime.serving import server

    server.run(_serve(pipeline, listener, record))
    return 0


async def _serve(pipeline: Pipeline, listener: socket.socket, record: dict[str, Any]) -> None:
    from mlship_runtime.serving.application import Application
    from mlship_runtime.serving.limits import read_limits
    from mlship_runtime.serving.server import Server

    limits = read_limits(pipeline.spec.runtime.get("limits", {}), record["settings"].get("limits", {}))
    server = Server(Application(pipeline, int(record["number"]), limits=limits), limits)
    finished, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, finished.set)
    host, port = listener.getsockname()[:2]
    server.accept_on(listener)
    _say({"ok": True, "pid": os.getpid(), "host": host, "port": port, "digest": record["digest"]})
    await finished.wait()
    server.stop_accepting()
    await server.drain(None, _DRAIN)


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
