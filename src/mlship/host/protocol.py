"""The five primitives that make a machine a host."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mlship.errors import TargetError


@dataclass(frozen=True)
class Completed:
    """How a command ended on a host."""

    code: int
    out: bytes
    err: bytes


class Unreached(TargetError):
    """Nobody gets to the machine, or not in."""


class Lost(Unreached):
    """The connection to a machine broke, or there is none: the same may succeed in a while."""


class Process(Protocol):
    """A command that runs on a machine. Both its outputs must be read to their end, or it stands still."""

    def write(self, data: bytes) -> None:
        """All of `data` to its standard input. Raises OSError when it no longer listens."""
        ...

    def read(self, most: int) -> bytes:
        """What its standard output has now, waiting for the first byte; nothing at the end."""
        ...

    def read_error(self, most: int) -> bytes:
        """The same of its standard error."""
        ...

    def end_input(self) -> None:
        """No more input comes. Raises OSError."""
        ...

    def wait(self) -> int | None:
        """The exit code when both outputs have ended; None if the machine never told it, as the connection
        went or a signal ended the command."""
        ...

    def close(self) -> None:
        """Give the process up: its streams are closed, so that whoever reads or writes them stops, and the
        command finds its input ended."""
        ...


class Host(Protocol):
    """A machine, local or far. Every failure to reach it is a TargetError."""

    name: str
    address: str
    """How others in its network reach it; empty for this machine."""
    ground_floor: str | None
    """Start file of an `mlship_runtime` that is on the host already; reading commands write nothing there."""

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float | None = None) -> Completed:
        """Run a command (never through a shell) and wait; TargetError after `timeout` seconds."""
        ...

    def start(self, argv: Sequence[str]) -> Process:
        """Start a command (never through a shell) that is spoken with while it runs."""
        ...

    def put(self, source: Path, target: str) -> None:
        """Copy a file to the host, whole or not at all; parent folders are made."""
        ...

    def get(self, source: str, target: Path) -> None:
        """Copy a file from the host."""
        ...

    def connect(self, address: str, *, timeout: float) -> socket.socket:
        """A byte stream to `unix:PATH` or `tcp:HOST:PORT` as seen from the host."""
        ...
