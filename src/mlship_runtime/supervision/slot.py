"""The place of one worker of a release, and how its workers end."""

from __future__ import annotations

import asyncio

from mlship_runtime.supervision.worker_handle import WorkerHandle

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0  # seconds
_DOUBLINGS = 10  # more than it takes to the longest pause; a worker can die for months


class Slot:
    """The place of worker `index`; `leaving` is the one before it, which serves until this one does."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.handle: WorkerHandle | None = None
        self.leaving: WorkerHandle | None = None
        self.restarts = 0
        self.task: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        return self.handle is not None and self.handle.state in ("ready", "serving")


def pause_after(deaths: int) -> float:
    """Seconds before the next worker is started, after so many deaths in a row: the first costs no time."""
    if deaths <= 1:
        return 0.0
    return min(_LONGEST_PAUSE, _FIRST_PAUSE * float(2 ** min(deaths - 2, _DOUBLINGS)))


def ending(exit_code: int | None) -> str:
    """How a process ended, as a part of a sentence."""
    if exit_code is None:
        return "ended"
    if exit_code < 0:
        return f"was killed by signal {-exit_code}"
    return f"ended with exit code {exit_code}"
