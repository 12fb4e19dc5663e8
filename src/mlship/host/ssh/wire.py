"""What both clients offer: a command started on the machine, with its three streams."""

from __future__ import annotations

from collections.abc import Sequence
from shlex import join
from typing import Protocol


class Process(Protocol):
    """A command that runs on the machine. Both its outputs must be read to their end, or it stands still."""

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
        """Give the process up: its streams are closed, so that whoever reads or writes them stops."""
        ...


class Wire(Protocol):
    """A connection to one machine, opened by its first use. Raises TargetError if the machine cannot be
    reached, is not the one it should be, or lets nobody in."""

    def start(self, command: str) -> Process:
        """Start `command`, which the login shell there reads: see `command_line`."""
        ...

    def close(self) -> None:
        """Hang up. A later use opens it again."""
        ...


def command_line(argv: Sequence[str]) -> str:
    """`argv` for a POSIX shell, every word quoted: SSH has no other way to start a command."""
    return join(argv)
