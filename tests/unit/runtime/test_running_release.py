"""A release whose workers are given up in the very moment in which one becomes ready."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from mlship_runtime.supervision.eventlog import EventLog
from mlship_runtime.supervision.layout import Site
from mlship_runtime.supervision.running import RunningRelease


class Adopted:
    """A worker as a handle shows it, ready once `becomes_ready` is set."""

    index, pid, exit_code, state, answered = 0, 4711, None, "serving", 0.0

    def __init__(self) -> None:
        self.gone, self.becomes_ready = asyncio.Event(), asyncio.Event()

    async def until_ready(self) -> None:
        await self.becomes_ready.wait()

    async def refresh(self, **_: float) -> None:
        await asyncio.sleep(0)

    async def accept(self) -> None:
        await asyncio.sleep(0)


@pytest.mark.parametrize("turns", range(6))
def test_nobody_takes_the_place_of_a_worker_that_was_given_up(tmp_path: Path, turns: int) -> None:
    """`turns` of the loop lie between the two, so that one of the tests hits the moment."""
    started: list[int] = []

    def spawn(index: int) -> Any:
        started.append(index)
        raise OSError("it is not wanted any more")

    async def live_through() -> None:
        layout = Site(tmp_path).service("tiny")
        layout.logs.mkdir(parents=True)
        record = {"number": 2, "digest": "sha256:0", "settings": {"workers": 1}}
        nobody: Any = None
        release = RunningRelease(
            layout, record, nobody, None, "python3", EventLog(layout.events), nobody, nobody
        )
        release._spawn = spawn  # type: ignore[method-assign]
        release.accepting = release.proven = True
        worker: Any = Adopted()
        assert release.adopt(worker)
        (slot,) = release._slots
        release.start()
        await asyncio.sleep(0.01)
        worker.becomes_ready.set()
        for _ in range(turns):
            await asyncio.sleep(0)
        assert release.detach() == [worker]
        await asyncio.sleep(0.01)
        worker.gone.set()
        done, _ = await asyncio.wait([slot.task], timeout=5.0) if slot.task else (set(), set())
        assert done, "the place is still kept"

    asyncio.run(live_through())
    assert started == []
