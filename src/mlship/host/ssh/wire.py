"""What both clients offer: a command started on the machine."""

from __future__ import annotations

from collections.abc import Sequence
from shlex import join
from typing import Protocol

from mlship.host.protocol import Process


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
