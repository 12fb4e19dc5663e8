"""One worker of a release: verify, load, prove by the golden examples, then answer.

The control socket is answered by a thread of its own from the first moment on, so that the supervisor knows a
worker that loads from one that hangs.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlship_runtime.capacity import worker_count
from mlship_runtime.errors import NotReady, RuntimeFault, SiteError
from mlship_runtime.supervision import listening
from mlship_runtime.supervision.control_server import ControlThread
from mlship_runtime.supervision.health import REASONS, read_health
from mlship_runtime.supervision.launch import check_machine, report_failure
from mlship_runtime.supervision.layout import Layout, WorkerSockets, layout_of
from mlship_runtime.supervision.loading import load, threads_of
from mlship_runtime.supervision.release_record import read_record
from mlship_runtime.supervision.unfailing import speak_on
from mlship_runtime.supervision.worker_handle import TELL

if TYPE_CHECKING:  # what comes with the bundle is imported after it was verified
    from mlship_runtime.model.pipeline import Pipeline
    from mlship_runtime.serving.door import Door

_STDERR = 2
_LAST_WORD = 0.05  # seconds for the answer to `stop` to go out


def main(release: str, index: int, verified: str = "") -> int:
    """Serve the release in the record `release` as its worker `index`. `verified` is the digest of the tree
    that `launch` has compared a moment ago; without it that is done here."""
    faulthandler.enable(all_threads=True)  # a crash in native code says where
    faulthandler.register(TELL, all_threads=True)
    speak_on()
    layout = layout_of(Path(release).parent.parent)
    record = read_record(Path(release))
    try:
        listener, external = listening.inherited(), listening.inherited_external()
        return Worker(layout, record, index, listener, external).run(verified)
    except RuntimeFault as fault:
        return report_failure(layout.failure(record["number"]), fault)


class Worker:
    """`state` is starting, ready, serving or draining, `beat` counts the turns of the loop that were asked
    for: only the main thread changes them."""

    def __init__(
        self,
        layout: Layout,
        record: dict[str, Any],
        index: int,
        listener: socket.socket,
        external: socket.socket | None = None,
    ) -> None:
        self.state = "starting"
        self.beat = 0
        self._record, self._index = record, index
        self._failure = layout.failure(record["number"])
        self._counters = layout.counters(record["number"])
        self._health = layout.health(record["number"])
        self._sockets: WorkerSockets = layout.worker_sockets(record["number"], index, os.getpid())
        self._listener = listener
        self._external = external
        self._door: Door | None = None
        self._control = ControlThread(self._sockets.control, self._handle)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._drain: asyncio.Task[None] | None = None

    def run(self, verified: str) -> int:
        """Load, serve until drained, and leave no socket behind; returns the exit code."""
        check_machine(self._record)
        self._control.start()
        try:
            pipeline = load(self._record, verified, threads_of(self._record["settings"]))
            from mlship_runtime.serving import server

            server.run(self._serve(pipeline))
            return 0
        except Exception as error:  # noqa: BLE001  whatever the release's code raises is its failure
            return report_failure(self._failure, error)
        finally:  # the control connection ends with the process: that is how its end is noticed
            self._sockets.unlink()

    async def _serve(self, pipeline: Pipeline) -> None:
        from mlship_runtime.serving.accesslog import AccessLog
        from mlship_runtime.serving.application import Application
        from mlship_runtime.serving.batching import read_batching
        from mlship_runtime.serving.door import Door
        from mlship_runtime.serving.limits import read_limits
        from mlship_runtime.serving.server import Server

        number = int(self._record["number"])
        settings = self._record["settings"]
        limits = read_limits(pipeline.spec.runtime.get("limits", {}), settings.get("limits", {}))
        self._application = Application(
            pipeline,
            number,
            counters=str(self._counters),
            limits=limits,
            service=str(self._record["service"]),
        )
        self._application.tell_restarts(self._restarts)
        share = limits.share(worker_count(int(settings.get("workers", 1))))
        log = AccessLog(_STDERR) if settings.get("accessLog") else None
        self._server = Server(self._application, share, log, read_batching(settings.get("batch", {})))
        if settings.get("external"):
            self._door = Door(settings["external"])
            self._socket("external")  # it must be there
        self._finished = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        await self._server.serve_unix(str(self._sockets.web))
        await self._server.receive_handover(str(self._sockets.handover))
        self.state = "ready"
        self._loop = loop
        await self._finished.wait()
        await asyncio.sleep(_LAST_WORD)
        await self._server.close()

    async def _handle(self, message: dict[str, Any]) -> dict[str, Any]:
        """One request; runs on the control thread."""
        verb = message.get("verb")
        if verb == "status":
            if self._loop is not None:
                with contextlib.suppress(RuntimeError):  # it has been closed: this process is on its way out
                    self._loop.call_soon_threadsafe(self._turn)
            return self._status()
        if verb == "socket":
            return {"descriptor": self._socket(str(message.get("which") or "")).fileno()}
        if verb == "stop" and self._loop is None:
            os._exit(0)  # nothing is served yet, and loading cannot be interrupted
        if self._loop is None:
            raise NotReady(f"worker {self._index} of release {self._record['number']} is {self.state}")
        order = {"accept": self._accept, "drain": self._begin_drain, "stop": self._begin_drain}.get(str(verb))
        if order is None:
            raise SiteError(f"a worker knows no request {verb!r}")
        done = asyncio.run_coroutine_threadsafe(order(message), self._loop)
        await asyncio.wrap_future(done)
        return self._status()

    def _restarts(self) -> dict[str, int]:
        return {**dict.fromkeys(REASONS, 0), **read_health(self._health).restarts}

    def _turn(self) -> None:
        self.beat += 1

    def _socket(self, which: str) -> socket.socket:
        """The listening socket that is asked for; raises SiteError if this worker has none."""
        found = self._external if which == "external" else self._listener
        if found is None:
            raise SiteError(f"no {which} listener was handed on")
        return found

    def _status(self) -> dict[str, Any]:
        """Whoever asks twice learns from `beat` whether the loop has turned meanwhile."""
        release = {"release": self._record["number"], "digest": self._record["digest"]}
        about = {"index": self._index, "pid": os.getpid(), "beat": self.beat}
        return {"state": self.state, **about, **release}

    async def _accept(self, _: dict[str, Any]) -> None:
        if self.state == "draining":
            raise NotReady(f"worker {self._index} of release {self._record['number']} is draining")
        if self.state != "serving":
            self._server.accept_on(self._listener)
            if self._external is not None and self._door is not None:
                self._server.accept_on(self._external, self._door)
            self.state = "serving"

    async def _begin_drain(self, message: dict[str, Any]) -> None:
        if self._drain is None:
            self.state = "draining"
            handover, deadline = message.get("handover"), float(message.get("deadline", 0.0))
            self._drain = asyncio.ensure_future(self._drained(handover, deadline))

    async def _drained(self, handover: str | None, deadline: float) -> None:
        self._server.stop_accepting()
        try:
            report = await self._server.drain(handover, deadline)
            sys.stderr.write(f"drained: {report}\n")
        finally:
            self._finished.set()

    def _on_signal(self) -> None:
        """The first signal drains without handing over; the second ends at once."""
        if self._drain is not None:
            self._finished.set()
        else:
            deadline = float(self._record["settings"].get("drainTimeout", 75))
            self._drain = asyncio.ensure_future(self._drained(None, deadline))
            self.state = "draining"
