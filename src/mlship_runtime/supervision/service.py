"""The releases of one service that run now, and the moves between them."""

from __future__ import annotations

import asyncio
import signal
import socket
from typing import Any

from mlship_runtime.errors import NotReady, RuntimeFault
from mlship_runtime.files import read_numbered
from mlship_runtime.supervision.control import fault_data, fault_of
from mlship_runtime.supervision.eventlog import EventLog
from mlship_runtime.supervision.layout import Layout
from mlship_runtime.supervision.live import read_live, set_live
from mlship_runtime.supervision.probe import digest_on_socket
from mlship_runtime.supervision.release_record import read_record
from mlship_runtime.supervision.running import RunningRelease
from mlship_runtime.supervision.worker_handle import GRACE, WorkerHandle

_SLACK = 3.0  # seconds after which a worker that is late has been ended
_UNDO_DRAIN = 5.0  # seconds for connections that a release took before its switch failed


class Service:
    """`running` holds releases by number; workers that are on their way out are only `known`."""

    def __init__(
        self,
        layout: Layout,
        listener: socket.socket,
        external: socket.socket | None,
        python: str,
        events: EventLog,
    ) -> None:
        self.external = external
        self.layout, self.listener, self.events = layout, listener, events
        self.running: dict[int, RunningRelease] = {}
        self.live: int | None = read_live(layout).release
        self._python = python
        self._known: dict[int, WorkerHandle] = {}
        self._background: set[asyncio.Task[None]] = set()

    def known_pids(self) -> set[int]:
        return set(self._known)

    def reap(self) -> None:
        """Note the ends of children; forget who is gone."""
        for handle in list(self._known.values()):
            handle.reap()
        self._forget()

    def take_over(self, found: list[WorkerHandle]) -> None:
        """Adopt the workers of a supervisor before this one and serve what `live.json` says."""
        strays = []
        for handle in found:
            self._known[handle.pid] = handle
            if handle.state == "draining" or not self._place(handle):
                strays.append(handle)
        if self.live is not None and self.live not in self.running and self.layout.record(self.live).exists():
            self.running[self.live] = self._prepare(self.live)
        for number, release in self.running.items():
            states = {handle.state for handle in release.handles}
            release.accepting = number == self.live or "serving" in states
            release.proven = number == self.live or bool(states & {"serving", "ready"})
            release.start()
        for handle in strays:
            self.dismiss(handle)
        self._in_background(self._converge())

    async def start(self, number: int, timeout: float | None) -> RunningRelease:
        """Run release `number` until it is ready; again is fine. Raises what made it fail."""
        release = self.running.get(number)
        if release is None or release.state in ("failed", "stopped"):
            self.layout.failure(number).unlink(missing_ok=True)
            release = self.running[number] = self._prepare(number)
            release.start(timeout)
        try:
            fault = await asyncio.wait_for(release.settled(), (timeout or release.ready_timeout) + _SLACK)
        except asyncio.TimeoutError:
            fault = NotReady(f"release {number} is not ready", cause="its workers end again and again")
        if fault:
            raise fault
        return release

    async def shift(self, number: int, drain: float | None) -> list[int]:
        """Give the port to release `number`; returns the numbers of the releases that drain now."""
        release = self.running.get(number)
        if release is None:
            raise NotReady(f"release {number} is not running", fix="Start it first")
        if not release.all_ready:
            raise NotReady(
                f"release {number} is not ready", cause=f"it is {release.state}", fix="Start it first"
            )
        had_traffic = release.accepting
        try:
            await release.accept()
            for handle in release.handles:
                await self._check_answer(release, handle)
            self._record_live(release)
        except (OSError, RuntimeFault) as error:
            if not had_traffic and self.live != number:
                self._give_up(release, error)
            raise
        return self._drain_others(release, drain)

    async def stop(self, number: int, drain: float) -> None:
        """End release `number` and return when its workers are gone. Raises OSError."""
        if self.live == number:
            set_live(self.layout, None)
            self.live = None
        await self.rest(number, drain)

    async def rest(self, number: int, drain: float) -> None:
        """End the workers of release `number`; if it is live, it is so again for the next supervisor."""
        release = self.running.pop(number, None)
        for handle in release.detach() if release else []:
            self.see_off(handle, None, drain)
        departing = [h for h in self._known.values() if h.sockets.number == number and not h.gone.is_set()]
        await asyncio.gather(*(handle.end(drain) for handle in departing))
        self._forget()

    def dismiss(self, handle: WorkerHandle) -> None:
        """See off a worker that has no place here: one that drains goes on with that, others pass to the live
        release what they have."""
        release = self.running.get(self.live) if self.live is not None else None
        deadline = 0.0
        if handle.state == "draining" and self.layout.record(handle.sockets.number).exists():
            deadline = self._prepare(handle.sockets.number).drain_timeout
        self.see_off(handle, next(iter(release.handles), None) if release else None, deadline)

    def see_off(self, handle: WorkerHandle, heir: WorkerHandle | None, deadline: float) -> None:
        """Let a worker drain into `heir` (None: by closing) within `deadline` seconds; make sure it ends."""
        self._known[handle.pid] = handle
        self._in_background(self._depart(handle, heir, deadline))

    def status(self) -> list[dict[str, Any]]:
        """The releases that have workers or failed, for the order `status`."""
        numbers = set(self.running) | {handle.sockets.number for handle in self._known.values()}
        return [self._release_status(number) for number in sorted(numbers)]

    def _release_status(self, number: int) -> dict[str, Any]:
        release = self.running.get(number)
        workers = release.workers() if release else []
        shown = {worker["pid"] for worker in workers}
        leaving = [h for h in self._known.values() if h.sockets.number == number and h.pid not in shown]
        workers += [
            {"index": h.index, "pid": h.pid, "restarts": 0, "state": "draining", "socket": str(h.sockets.web)}
            for h in leaving
            if not h.gone.is_set()
        ]
        state = release.state if release else "stopped"
        if state == "stopped" and workers:
            state = "draining"
        error = release.error if release else None
        if error is None and state == "starting":  # restarts that do not succeed
            written = read_numbered(self.layout.failure(number))
            error = fault_of(written["error"]) if written else None
        about = {"error": fault_data(error) if error else None, "ceiling": release and release.ceiling}
        return {"number": number, "state": state, "workers": workers, **about}

    def _place(self, handle: WorkerHandle) -> bool:
        number = handle.sockets.number
        if number not in self.running:
            if not self.layout.record(number).exists():
                return False
            self.running[number] = self._prepare(number)
        return self.running[number].adopt(handle)

    def _prepare(self, number: int) -> RunningRelease:
        record = read_record(self.layout.record(number))
        return RunningRelease(
            self.layout,
            record,
            self.listener,
            self.external,
            self._python,
            self.events,
            self._know,
            self.see_off,
        )

    def _know(self, handle: WorkerHandle) -> None:
        self._known[handle.pid] = handle

    async def _converge(self) -> None:
        """Once the live release answers, no other one may: that is a switch that was cut short."""
        release = self.running.get(self.live) if self.live is not None else None
        if release and await release.settled() is None and self.live == release.number:
            self._drain_others(release, None)

    async def _check_answer(self, release: RunningRelease, handle: WorkerHandle) -> None:
        digest = await asyncio.to_thread(digest_on_socket, handle.sockets.web)
        if digest != release.digest:
            raise NotReady(
                f"release {release.number} answers as another bundle",
                cause=f"{digest[:19]}, not {release.digest[:19]}",
            )

    def _record_live(self, release: RunningRelease) -> None:
        set_live(self.layout, release.number)
        self.live = release.number
        self.events.note("shifted", release=release.number, digest=release.digest)

    def _drain_others(self, release: RunningRelease, drain: float | None) -> list[int]:
        """Drain what else takes connections, and stop its restarts; candidates that wait stay as they are."""
        heirs, drained = release.handles, []
        for number, other in list(self.running.items()):
            if number == release.number or not other.accepting:
                continue
            deadline = other.drain_timeout if drain is None else drain
            for position, handle in enumerate(other.detach()):
                self.see_off(handle, heirs[position % len(heirs)] if heirs else None, deadline)
            del self.running[number]
            drained.append(number)
        return drained

    def _give_up(self, release: RunningRelease, error: Exception) -> None:
        """Take back the connections of a release whose switch failed; the old one goes on."""
        self.events.note("shift failed", release=release.number, error=error)
        old = self.running.get(self.live) if self.live is not None else None
        heirs = old.handles if old else []
        for position, handle in enumerate(release.detach()):
            self.see_off(handle, heirs[position % len(heirs)] if heirs else None, _UNDO_DRAIN)
        del self.running[release.number]

    async def _depart(self, handle: WorkerHandle, heir: WorkerHandle | None, deadline: float) -> None:
        try:
            await handle.connect()
            if handle.state == "serving":
                await handle.drain(heir, deadline)
            elif handle.state != "draining":
                handle.state = "draining"
                await handle.ask("stop")
        except RuntimeFault:  # it has not come that far, or hangs
            handle.kill(signal.SIGTERM)
            await handle.end(deadline)
        else:
            await handle.end(deadline + GRACE)
        self.events.note("worker gone", release=handle.sockets.number, pid=handle.pid)
        self._forget()

    def _forget(self) -> None:
        self._known = {pid: handle for pid, handle in self._known.items() if not handle.gone.is_set()}

    def _in_background(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task
