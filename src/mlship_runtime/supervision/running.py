"""One release as the supervisor runs it: a worker per slot, replaced when it dies once it was ready."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Callable

from mlship_runtime.errors import NotReady, RuntimeFault, SiteError
from mlship_runtime.files import last_lines, read_numbered, write_json
from mlship_runtime.supervision.control import fault_data, fault_of
from mlship_runtime.supervision.eventlog import EventLog
from mlship_runtime.supervision.layout import Layout
from mlship_runtime.supervision.spawn import launch_worker
from mlship_runtime.supervision.worker_handle import WorkerHandle

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0  # seconds before a restart
_SOUND = 10.0  # seconds of service after which a death counts as the first one again


class Slot:
    """The place of worker `index`."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.handle: WorkerHandle | None = None
        self.restarts = 0
        self.task: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        return self.handle is not None and self.handle.state in ("ready", "serving")


class RunningRelease:
    """`proven` means that it was ready before: then dead workers are replaced, else they fail the release."""

    def __init__(
        self,
        layout: Layout,
        record: dict[str, Any],
        listener: socket.socket,
        python: str,
        events: EventLog,
        spawned: Callable[[WorkerHandle], None],
    ) -> None:
        self.layout, self.record = layout, record
        self.number = int(record["number"])
        self.digest = str(record["digest"])
        self.accepting = False
        self.proven = False
        self.error: RuntimeFault | None = None
        self._listener, self._events, self._spawned = listener, events, spawned
        self._python = str(record["settings"].get("python") or python)
        self.ready_timeout = float(record["settings"].get("readyTimeout", 60))
        self._slots = [Slot(index) for index in range(max(1, int(record["settings"].get("workers", 1))))]
        self._settled: asyncio.Future[RuntimeFault | None] | None = None

    @property
    def drain_timeout(self) -> float:
        """Seconds in which a draining worker must have given up its connections."""
        return float(self.record["settings"].get("drainTimeout", 75))

    @property
    def handles(self) -> list[WorkerHandle]:
        return [slot.handle for slot in self._slots if slot.handle and not slot.handle.gone.is_set()]

    @property
    def all_ready(self) -> bool:
        return bool(self._slots) and all(slot.ready for slot in self._slots)

    @property
    def state(self) -> str:
        """failed, stopped, starting, ready or serving."""
        if self.error:
            return "failed"
        if not self._slots:
            return "stopped"
        if self.accepting and any(handle.state == "serving" for handle in self.handles):
            return "serving"
        return "ready" if self.all_ready else "starting"

    def adopt(self, handle: WorkerHandle) -> bool:
        """Take a worker of this release into its slot, before `start`; False if that is taken or unknown."""
        for slot in self._slots:
            if slot.index == handle.index and slot.handle is None:
                slot.handle = handle
                return True
        return False

    def start(self, timeout: float | None = None) -> None:
        """Fill the slots; a worker that is not ready after `timeout` seconds fails the release."""
        self.ready_timeout = timeout or self.ready_timeout
        self._settled = asyncio.get_running_loop().create_future()
        for slot in self._slots:
            slot.task = asyncio.ensure_future(self._keep(slot))

    async def settled(self) -> RuntimeFault | None:
        """Wait until all workers are ready (None) or the release has failed or been stopped (why). One that
        was ready before never fails: its workers are replaced for as long as it takes."""
        if self._settled is None:
            return NotReady(f"release {self.number} was not started")
        return await asyncio.shield(self._settled)

    async def accept(self) -> None:
        """Let all workers take connections, also those that replace them; raises NotReady if one cannot."""
        self.accepting = True
        for handle in self.handles:
            await handle.accept()

    def detach(self, why: RuntimeFault | None = None) -> list[WorkerHandle]:
        """Give up the slots without ending their workers; returns those. They are not replaced any more."""
        handles = self.handles
        for slot in self._slots:
            if slot.task and slot.task is not asyncio.current_task():
                slot.task.cancel()
        self._slots, self.accepting = [], False
        self._settle(why or NotReady(f"release {self.number} was stopped"))
        return handles

    def workers(self) -> list[dict[str, Any]]:
        """The workers for `status`, one entry a slot."""
        found = []
        for slot in self._slots:
            handle = slot.handle
            entry: dict[str, Any] = {
                "index": slot.index,
                "restarts": slot.restarts,
                "pid": None,
                "state": "starting",
            }
            if handle and not handle.gone.is_set():
                entry.update(pid=handle.pid, state=handle.state, socket=str(handle.sockets.web))
            found.append(entry)
        return found

    async def _keep(self, slot: Slot) -> None:
        """Hold one slot filled for as long as the release is wanted."""
        deaths = 0
        while True:
            began = asyncio.get_running_loop().time()
            try:
                handle = slot.handle = slot.handle or self._spawn(slot.index)
            except OSError as error:
                return self._fail(
                    SiteError("the release cannot be started", cause=str(error), fix="Set `python`")
                )
            late = await self._one_life(handle)
            self._events.note("worker ended", release=self.number, pid=handle.pid, exit=handle.exit_code)
            if not self.proven:
                return self._fail(late or self._reason(handle))
            sound = asyncio.get_running_loop().time() - began > _SOUND
            slot.handle, deaths = None, 0 if sound else deaths + 1
            self._unsettle()
            slot.restarts += 1
            await asyncio.sleep(min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** max(0, deaths - 1)))

    async def _one_life(self, handle: WorkerHandle) -> RuntimeFault | None:
        """From start to end of one worker; returns a fault if it was killed because it never became ready."""
        try:
            await asyncio.wait_for(handle.until_ready(), self.ready_timeout)
            if self.accepting:
                await handle.accept()
        except asyncio.TimeoutError:
            handle.kill()
            return self._late()
        except NotReady:  # it ended, or hangs: in that case it must not stay
            handle.kill()
        else:
            self._note_ready(handle)
        await handle.gone.wait()
        return None

    def _note_ready(self, handle: WorkerHandle) -> None:
        self._events.note("worker ready", release=self.number, pid=handle.pid, index=handle.index)
        if self.all_ready:
            self.proven = True
            self.layout.failure(self.number).unlink(missing_ok=True)
            self._settle(None)

    def _spawn(self, index: int) -> WorkerHandle:
        environment = self.record.get("environment", {})
        child = launch_worker(self._python, self.layout, self.number, index, environment, self._listener)
        self._events.note("worker started", release=self.number, pid=child.pid, index=index)
        handle = WorkerHandle(self.layout.worker_sockets(self.number, index, child.pid), child)
        self._spawned(handle)
        return handle

    def _fail(self, fault: RuntimeFault) -> None:
        if self.error:
            return
        self.error = fault
        self._events.note("release failed", release=self.number, error=str(fault))
        try:
            write_json(self.layout.failure(self.number), {"schemaVersion": 1, "error": fault_data(fault)})
        except OSError as error:
            self._events.note("failure not written", release=self.number, error=error)
        for handle in self.detach(fault):
            handle.kill()

    def _unsettle(self) -> None:
        """A worker is missing again: whoever asks waits for the one that replaces it."""
        if self._settled and self._settled.done():
            self._settled = asyncio.get_running_loop().create_future()

    def _settle(self, fault: RuntimeFault | None) -> None:
        if self._settled and not self._settled.done():
            self._settled.set_result(fault)

    def _late(self) -> RuntimeFault:
        return NotReady(
            f"release {self.number} was not ready after {self.ready_timeout:g} s",
            cause=(last_lines(self.layout.log(self.number), 1) or ["it wrote no log"])[0],
            fix=f"Look at mlship logs --release {self.number}, or raise `ready_timeout`",
        )

    def _reason(self, handle: WorkerHandle) -> RuntimeFault:
        """Why a worker ended before it was ready: what it wrote down, else how it ended."""
        written = read_numbered(self.layout.failure(self.number))
        if written:
            return fault_of(written.get("error") or {})
        line = (last_lines(self.layout.log(self.number), 1) or ["it wrote no log"])[0]
        return NotReady(
            f"worker {handle.index} of release {self.number} {_ending(handle.exit_code)} before it was ready",
            cause=line,
            fix=f"Look at mlship logs --release {self.number}",
        )


def _ending(exit_code: int | None) -> str:
    if exit_code is None:
        return "ended"
    if exit_code < 0:
        return f"was killed by signal {-exit_code}"
    return f"ended with exit code {exit_code}"
