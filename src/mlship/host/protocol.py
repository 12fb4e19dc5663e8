"""The four primitives that make a machine a host."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Completed:
    """How a command ended on a host."""

    code: int
    out: bytes
    err: bytes


class Host(Protocol):
    """A machine, local or far. Every failure to reach it is a TargetError."""

    name: str
    ground_floor: str | None
    """Start file of an `mlship_runtime` that is on the host already; reading commands write nothing there."""

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float | None = None) -> Completed:
        """Run a command (never through a shell) and wait; TargetError after `timeout` seconds."""
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
