"""One release as the supervisor runs it: a worker per slot, replaced when it dies, hangs or takes too much
memory once the release was ready."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Callable

from mlship_runtime.capacity import ceiling_of, worker_count
from mlship_runtime.errors import NotReady, RuntimeFault, SiteError
from mlship_runtime.files import write_json
from mlship_runtime.supervision.control import fault_data
from mlship_runtime.supervision.eventlog import EventLog
from mlship_runtime.supervision.health import DIED, HUNG, LATE, MEMORY, read_health
from mlship_runtime.supervision.layout import Layout
from mlship_runtime.supervision.slot import Slot, ending, pause_after
from mlship_runtime.supervision.spawn import launch_worker
from mlship_runtime.supervision.unready import late, reason, too_large
from mlship_runtime.supervision.watch import Watch
from mlship_runtime.supervision.worker_handle import WorkerHandle

_SOUND = 10.0  # seconds of service after which a death counts as the first one again


class RunningRelease:
    """`proven` means that it was ready before: then dead workers are replaced, else they fail the release."""

    def __init__(
        self,
        layout: Layout,
        record: dict[str, Any],
        listener: socket.socket,
        external: socket.socket | None,
        python: str,
        events: EventLog,
        spawned: Callable[[WorkerHandle], None],
        see_off: Callable[[WorkerHandle, WorkerHandle | None, float], None],
    ) -> None:
        self.layout, self.record = layout, record
        self.number = int(record["number"])
        self.digest = str(record["digest"])
        self.accepting = False
        self.proven = False
        self.error: RuntimeFault | None = None
        self._external = external
        self._listener, self._events, self._spawned, self._see_off = listener, events, spawned, see_off
        settings = record["settings"]
        self._python = str(settings.get("python") or python)
        self.ready_timeout = float(settings.get("readyTimeout", 60))
        self._hang = float(settings.get("hangTimeout", 0))
        count = worker_count(int(settings.get("workers", 1)))
        self.ceiling = ceiling_of(int(settings.get("memory", 0)), count)
        self._slots = [Slot(index) for index in range(count)]
        self._health = read_health(layout.health(self.number))
        self._bounds: set[asyncio.Task[None]] = set()
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
        if self.accepting and any(handle.state == "serving" for handle in self._all_handles()):
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
        handles = self._all_handles()
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

    def _all_handles(self) -> list[WorkerHandle]:
        """With those that are to leave as soon as another one has taken over."""
        leaving = [slot.leaving for slot in self._slots if slot.leaving]
        return self.handles + [handle for handle in leaving if not handle.gone.is_set()]

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
            fault, why = await self._one_life(slot, handle)
            self._events.note(
                "worker ended", release=self.number, pid=handle.pid, exit=handle.exit_code, why=why
            )
            if slot not in self._slots:  # before 3.12, wait_for may lose the cancelling of its task
                return None
            if not self.proven:
                return self._fail(fault or reason(self.layout, handle))
            self._count(why, handle)
            sound = asyncio.get_running_loop().time() - began > _SOUND
            slot.handle, deaths = None, 0 if sound else deaths + 1
            self._unsettle()
            slot.restarts += 1
            await asyncio.sleep(pause_after(deaths))

    async def _one_life(self, slot: Slot, handle: WorkerHandle) -> tuple[RuntimeFault | None, str]:
        """From start to end of one worker, or until it must be replaced: the fault, if it never became ready,
        and the reason."""
        try:
            await asyncio.wait_for(handle.until_ready(), self.ready_timeout)
            if not self.proven and (fault := too_large(handle, self.ceiling)):
                handle.kill()
                return fault, MEMORY
            if self.accepting:
                await handle.accept()
        except asyncio.TimeoutError:
            handle.kill()
            return late(self.layout, self.number, self.ready_timeout), LATE
        except NotReady:  # it ended, or hangs: in that case it must not stay
            handle.kill()
            await handle.gone.wait()
            return None, DIED
        self._note_ready(handle)
        self._relieve(slot, handle)
        why = await Watch(handle, self._hang, self.ceiling).until_over()
        if why == HUNG:
            await handle.end_hung()
        elif why == MEMORY:
            slot.leaving = handle
            self._bound(handle)
        return None, why

    def _relieve(self, slot: Slot, heir: WorkerHandle) -> None:
        """Let the worker go that has waited for its successor."""
        leaving, slot.leaving = slot.leaving, None
        if leaving is not None:
            self._see_off(leaving, heir, self.drain_timeout)

    def _bound(self, handle: WorkerHandle) -> None:
        """Watch a worker that has no slot any more until it is gone."""
        task = asyncio.ensure_future(Watch(handle, self._hang, self.ceiling).bound())
        self._bounds.add(task)
        task.add_done_callback(self._bounds.discard)

    def _count(self, why: str, handle: WorkerHandle) -> None:
        """Write down, for all to see, that a worker had to be replaced."""
        detail = {DIED: ending(handle.exit_code), LATE: f"was not ready after {self.ready_timeout:g} s"}
        detail[HUNG] = f"did nothing for {self._hang:g} s"
        detail[MEMORY] = f"held more than {(self.ceiling or 0) >> 20} MiB"
        self._health.note(why, handle.pid, detail[why])
        try:
            self._health.write(self.layout.health(self.number))
        except OSError as error:
            self._events.note("health not written", release=self.number, error=error)

    def _note_ready(self, handle: WorkerHandle) -> None:
        self._events.note("worker ready", release=self.number, pid=handle.pid, index=handle.index)
        if self.all_ready:
            self.proven = True
            self.layout.failure(self.number).unlink(missing_ok=True)
            self._settle(None)

    def _spawn(self, index: int) -> WorkerHandle:
        environment = self.record.get("environment", {})
        child = launch_worker(
            self._python, self.layout, self.number, index, environment, self._listener, self._external
        )
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
