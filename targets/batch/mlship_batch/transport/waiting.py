"""From a ticket to an end: asked less and less often, up to a deadline; what the job wrote is always kept."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mlship.errors import TargetError, Waiting
from mlship_batch.transport.outcomes import judge
from mlship_batch.transport.protocol import Gone, Seen, Ticket, Transport
from mlship_runtime.files import make_folder, remove

_CHANCE = random.SystemRandom()
_NO_NAME = re.compile(r"[^A-Za-z0-9._-]")


@dataclass(frozen=True)
class Patience:
    """Seconds: the first pause, the longest, and until when the job must have ended."""

    first: float = 0.5
    longest: float = 30.0
    deadline: float = 3600.0

    def pauses(self) -> Iterator[float]:
        """Each longer than the one before, by chance a little shorter, so that many do not ask at once."""
        pause = self.first
        while True:
            yield pause * _CHANCE.uniform(0.7, 1.0)
            pause = min(self.longest, pause * 1.6)


@dataclass(frozen=True)
class Done:
    """How a job ended, and where what it wrote lies."""

    ticket: Ticket
    seen: Seen
    code: int
    spool: Path


def finish(
    transport: Transport,
    ticket: Ticket,
    folder: Path,
    *,
    max_rc: int = 4,
    needed: tuple[str, ...] = (),
    patience: Patience | None = None,
    pause: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Done:
    """Wait for the end of a job and judge it; its spool is in `folder` whatever the judgement is.

    Raises Waiting when the deadline passes first (nothing is sent or cancelled), and what `judge` raises.
    """
    seen = until_ended(transport, ticket, patience or Patience(), pause, clock)
    try:
        save_spool(transport, ticket, folder)
    except Gone as gone:
        judge(ticket.name, seen, max_rc, needed)
        raise TargetError(
            f"the spool of job {ticket.name} is gone before it was read",
            cause=f"it ended with {seen.retcode}",
            fix="Keep jobs of this class in the host's output queue",
        ) from gone
    return Done(ticket, seen, judge(ticket.name, seen, max_rc, needed), folder)


def save_spool(transport: Transport, ticket: Ticket, folder: Path) -> list[Path]:
    """All that the job wrote, a file for each DD, in the host's order. Raises Gone."""
    beside = folder.with_name(folder.name + ".part")
    remove(beside)
    make_folder(beside)
    kept = []
    for number, (name, chunks) in enumerate(transport.spool(ticket), 1):
        path = beside / f"{number:03d}-{_NO_NAME.sub('_', name)}"
        with path.open("wb") as file:
            for chunk in chunks:
                file.write(chunk)
        kept.append(path.name)
    remove(folder)
    beside.rename(folder)
    return [folder / name for name in kept]


def until_ended(
    transport: Transport,
    ticket: Ticket,
    patience: Patience,
    pause: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Seen:
    """How the job ended. Raises Waiting at the deadline."""
    end = clock() + patience.deadline
    pauses = patience.pauses()
    while (seen := transport.seen(ticket)).status != "OUTPUT":
        wait = next(pauses)
        if clock() + wait >= end:
            raise _still(ticket, seen, patience)
        pause(wait)
    return seen


def _still(ticket: Ticket, seen: Seen, patience: Patience) -> Waiting:
    state = "is held by the host" if seen.held else f"is still {seen.status}"
    return Waiting(
        f"job {ticket.name} ({ticket.number}) {state}",
        cause=f"after {patience.deadline:.0f} s",
        fix="The same command goes on with it; it is not sent again",
    )
