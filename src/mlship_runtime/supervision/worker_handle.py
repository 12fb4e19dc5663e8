"""The supervisor's hold on one worker, its own child or one adopted from a supervisor that died."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from typing import Any

from mlship_runtime.errors import NotReady
from mlship_runtime.supervision.control import Unreachable
from mlship_runtime.supervision.control_link import Link
from mlship_runtime.supervision.layout import WorkerSockets

_POLL = 0.04  # seconds between two looks at a worker that is starting
_TEARDOWN = 5.0  # seconds that a worker may take to end once its control connection is closed
GRACE = 10.0  # seconds over its deadline after which a worker is killed
TELL = signal.SIGUSR2  # a worker that gets it writes into its log what each of its threads is at
_TELLING = 0.3  # seconds for that


class WorkerHandle:
    """`state` is what the worker said last: starting, ready, serving, draining. `gone` is set at its end."""

    def __init__(self, sockets: WorkerSockets, child: subprocess.Popen[bytes] | None) -> None:
        self.sockets = sockets
        self.state = "starting"
        self.exit_code: int | None = None
        self.gone = asyncio.Event()
        self._child = child
        self._reaped = asyncio.Event()
        self._link: Link | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        return self.sockets.pid

    @property
    def index(self) -> int:
        return self.sockets.index

    async def connect(self) -> None:
        """Open the control connection, once. Raises Unreachable."""
        if self._link is None:
            self._link = await Link.open(self.sockets.control)
            self._watch = asyncio.ensure_future(self._until_lost(self._link))

    async def until_ready(self) -> None:
        """Return when the worker is ready or already serves; raises NotReady when it ends before."""
        while not self.gone.is_set():
            with contextlib.suppress(Unreachable):
                await self.connect()
                await self.refresh()
                if self.state in ("ready", "serving"):
                    return
                if self.state == "draining":
                    break
            await asyncio.sleep(_POLL)
        raise NotReady(f"worker {self.index} of release {self.sockets.number} is gone")

    async def refresh(self, timeout: float = 10.0) -> None:
        """Ask for the state; raises Unreachable."""
        answer = await self.ask("status", timeout)
        self.state = str(answer["state"])

    async def ask(self, verb: str, timeout: float = 10.0, **fields: Any) -> dict[str, Any]:
        """One request to the worker; raises Unreachable or the fault it answers with."""
        if self._link is None or self.gone.is_set():
            raise Unreachable(
                f"worker {self.index} of release {self.sockets.number} has no control connection"
            )
        return await self._link.ask(verb, timeout, **fields)

    async def accept(self) -> None:
        """Let the worker take connections from the port; raises Unreachable or NotReady."""
        await self.ask("accept")
        self.state = "serving"

    async def drain(self, handover: WorkerHandle | None, deadline: float) -> None:
        """Tell it to pass its connections on (or end them), to be gone within `deadline` seconds."""
        path = str(handover.sockets.handover) if handover else None
        await self.ask("drain", handover=path, deadline=deadline)
        self.state = "draining"

    async def end(self, patience: float) -> None:
        """See it go: wait `patience` seconds, then SIGTERM, then SIGKILL."""
        for number, wait in ((0, patience), (signal.SIGTERM, _TEARDOWN), (signal.SIGKILL, _TEARDOWN)):
            if number:
                self.kill(number)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.gone.wait(), wait)
                return

    def kill(self, number: int = signal.SIGKILL) -> None:
        if not self.gone.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def end_hung(self) -> None:
        """End a worker that no longer does anything, and let it say in its log where it hangs."""
        self.kill(TELL)
        await asyncio.sleep(_TELLING)
        self.kill()
        await self.gone.wait()

    def reap(self) -> None:
        """Look whether this child has ended (after SIGCHLD)."""
        if self._child is None or self._reaped.is_set():
            return
        self.exit_code = self._child.poll()
        if self.exit_code is not None:
            self._reaped.set()
            if self._link is None:
                self._leave()

    async def _until_lost(self, link: Link) -> None:
        await link.lost.wait()
        if self._child is not None:
            self.reap()
            try:
                await asyncio.wait_for(self._reaped.wait(), _TEARDOWN)
            except asyncio.TimeoutError:  # a process that no longer answers may still hold the port
                self.kill()
                await self._reaped.wait()
        self._leave()

    def _leave(self) -> None:
        self.gone.set()
        self.sockets.unlink()
