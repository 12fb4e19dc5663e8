"""What both clients offer: a command started on the machine."""

from __future__ import annotations

from collections.abc import Sequence
from shlex import join
from typing import Protocol

from mlship.host.protocol import Process

# The kinds of host keys, and the algorithms by which a machine proves that it has one.
KINDS = {
    "ED25519": ("ssh-ed25519",),
    "ECDSA": ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
    "RSA": ("rsa-sha2-512", "rsa-sha2-256"),
}


class Wire(Protocol):
    """A connection to one machine, opened by its first use. Raises TargetError if the machine cannot be
    reached, is not the one it should be, or lets nobody in."""

    def start(self, command: str) -> Process:
        """Start `command`, which the login shell there reads: see `command_line`."""
        ...

    def shown(self, algorithms: Sequence[str]) -> str | None:
        """The host key (`ssh-ed25519 AAAA…`) that the machine shows who asks for one of `algorithms`, None if
        it has none such. Nothing is believed, and nobody logs in. Raises TargetError if it cannot be reached.
        """
        ...

    def close(self) -> None:
        """Hang up. A later use opens it again."""
        ...


def command_line(argv: Sequence[str]) -> str:
    """`argv` for a POSIX shell, every word quoted: SSH has no other way to start a command."""
    return join(argv)
