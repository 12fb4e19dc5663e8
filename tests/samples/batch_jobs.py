"""Jobs for tests of transports: what each way to a host runs, and a way that breaks off at its n-th call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zos import PASSWORD, USER, Zos

from mlship.store.asking import Patience
from mlship_batch.transport.once import submit_once
from mlship_batch.transport.protocol import Job, Seen, Ticket, Transport
from mlship_batch.transport.rest import Access, Rest
from mlship_batch.transport.waiting import Done, finish
from mlship_batch.transport.waiting import Patience as Waits
from mlship_batch.transport.zosmf import Zosmf

HURRIED = Patience(attempts=4, pause=0.01, longest=0.02, total=20)
STEP = "//RUN EXEC PGM=IEFBR14\n"


def zosmf(zos: Zos, **access: Any) -> Zosmf:
    given = {"url": zos.emulator.url, "user": USER, "password": PASSWORD, **access}
    return Zosmf(Rest(Access(**given), HURRIED))


def job(steps: str, name: str = "SCORE") -> Callable[[str], Job]:
    """A job of JCL that carries its token."""
    return lambda token: Job(name, token, f"//{name} JOB (A),'ME',UJOBCORR={token}\n{steps}")


def run(transport: Transport, wanted: Callable[[str], Job], folder: Path, deadline: float = 10.0) -> Done:
    """Submit at most once and wait, in a hurry."""
    ticket = submit_once(transport, folder / "note.json", wanted, pause=lambda seconds: None)
    waits = Waits(first=0.01, longest=0.05, deadline=deadline)
    return finish(transport, ticket, folder / "spool", patience=waits, needed=("RUN",))


class Killed(BaseException):
    """As if the process ended there."""


@dataclass
class BreaksOff:
    """`transport`, which ends before (or after) its n-th call."""

    transport: Transport
    at: int
    after: bool
    name: str = "breaks off"

    def _call(self, what: Callable[[], Any]) -> Any:
        self.at -= 1
        if self.at == 0 and not self.after:
            raise Killed
        value = what()
        if self.at == 0:
            raise Killed
        return value

    def send(self, job: Job) -> Ticket:
        return self._call(lambda: self.transport.send(job))  # type: ignore[no-any-return]

    def look_for(self, job: Job) -> Ticket | None:
        return self._call(lambda: self.transport.look_for(job))  # type: ignore[no-any-return]

    def seen(self, ticket: Ticket) -> Seen:
        return self._call(lambda: self.transport.seen(ticket))  # type: ignore[no-any-return]

    def spool(self, ticket: Ticket) -> Iterator[tuple[str, Iterator[bytes]]]:
        return self._call(lambda: self.transport.spool(ticket))  # type: ignore[no-any-return]

    def cancel(self, ticket: Ticket) -> None:
        self._call(lambda: self.transport.cancel(ticket))
