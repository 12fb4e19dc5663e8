"""Looks at a worker that has become ready: whether its loop still turns, and what memory it holds."""

from __future__ import annotations

import asyncio
import contextlib

from mlship_runtime.errors import RuntimeFault
from mlship_runtime.supervision.health import DIED, HUNG, MEMORY, memory_of
from mlship_runtime.supervision.worker_handle import WorkerHandle

_LOOK = 1.0  # seconds between two looks
_LOOKS = 5  # at least so many in the time after which a worker counts as hung
RUNAWAY = 2  # times the ceiling at which a worker is ended at once


class Watch:
    """Watches one worker. It counts looks and not time: a supervisor that was itself stopped for a while must
    not take its workers for hung. `hang` (0: never) is in seconds, `ceiling` in bytes."""

    def __init__(self, handle: WorkerHandle, hang: float, ceiling: int | None) -> None:
        self._handle, self._hang, self._ceiling = handle, hang, ceiling
        self._pause = min(_LOOK, hang / _LOOKS) if hang else _LOOK
        self._beat = -1
        self._still = 0.0  # seconds of looks that saw no beat

    async def until_over(self) -> str:
        """Wait until the worker has DIED, is HUNG or holds too much MEMORY; returns which."""
        while not self._handle.gone.is_set():
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._handle.gone.wait(), self._pause)
                break
            if self._hang and await self._hangs():
                return HUNG
            if self.exceeds(1):
                return MEMORY
        return DIED

    async def bound(self) -> None:
        """While the worker is on its way out: end it if it hangs or runs away with the memory."""
        while (why := await self.until_over()) != DIED:
            if why == HUNG or self.exceeds(RUNAWAY):
                self._handle.kill()
            await asyncio.sleep(self._pause)

    def exceeds(self, times: int) -> bool:
        held = memory_of(self._handle.pid) if self._ceiling else None
        return held is not None and held > times * (self._ceiling or 0)

    async def _hangs(self) -> bool:
        """Ask for the beat, which the worker's loop makes anew after each question."""
        try:
            answer = await self._handle.ask("status", self._pause)
        except RuntimeFault:
            self._still += 2 * self._pause
        else:
            beat = int(answer.get("beat", self._beat + 1))  # runtimes before it had none
            self._still = 0.0 if beat != self._beat else self._still + self._pause
            self._beat = beat
        return self._still >= self._hang
