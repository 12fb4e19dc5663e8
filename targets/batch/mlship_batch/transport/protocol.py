"""What every way to a batch host can do with a job. Which host it is, it does not tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from mlship.errors import TargetError

Status = Literal["INPUT", "ACTIVE", "OUTPUT"]


@dataclass(frozen=True)
class Job:
    """`name` as the host shows it, `token` which no other job ever had (up to 32 of A-Z 0-9, a letter first),
    and `text`: JCL or a shell script. `files` go along, by the name under which the job finds them."""

    name: str
    token: str
    text: str
    files: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Ticket:
    """By which the host knows a job; `correlator` names it for ever, `number` may come again."""

    name: str
    number: str
    correlator: str


@dataclass(frozen=True)
class StepSeen:
    """A step and how it ended, as the host says it; None while it runs or where it does not tell."""

    name: str
    completion: str | None


@dataclass(frozen=True)
class Seen:
    """A job now. `retcode` is the host's word for how it ended, None before; `held`: it waits for someone."""

    status: Status
    retcode: str | None = None
    steps: tuple[StepSeen, ...] = ()
    held: bool = False


class Unsure(TargetError):
    """The job was sent and no answer came: it may have been taken in."""

    kind = "unsure"


class Gone(TargetError):
    """The host does not have the job any more."""

    kind = "job-gone"


class Transport(Protocol):
    """Raises TargetError for what goes wrong on the way, ConfigError for what is set wrong."""

    name: str

    def send(self, job: Job) -> Ticket:
        """Hand the job in, once. Raises Unsure where it may have been taken in; after any other error it was
        not."""
        ...

    def look_for(self, job: Job) -> Ticket | None:
        """The job with this token, if the host has it."""
        ...

    def seen(self, ticket: Ticket) -> Seen:
        """How the job stands. Raises Gone."""
        ...

    def spool(self, ticket: Ticket) -> Iterator[tuple[str, Iterator[bytes]]]:
        """What it wrote: a name and the bytes, file after file. Raises Gone."""
        ...

    def cancel(self, ticket: Ticket) -> None:
        """End it, if it has not ended. Raises Gone."""
        ...
