"""How a release has fared: its workers that were replaced and why, kept in a file, and what a process holds
now.

The counts are the release's: they outlive workers and supervisors, and every worker can show them.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlship_runtime.errors import RuntimeFault
from mlship_runtime.files import read_numbered, write_json

DIED, HUNG, MEMORY, LATE = "died", "hung", "memory", "late"
REASONS = (DIED, HUNG, MEMORY, LATE)
_KEPT = 8  # of the last ends
_ACCEPT_QUEUE = 24  # where `tcpi_unacked` stands in struct tcp_info: of a listening socket, what waits in it


@dataclass
class Health:
    """`restarts` by reason; `ends` tell of the last ones {time, pid, reason, detail}, the newest last."""

    restarts: dict[str, int] = field(default_factory=dict)
    ends: list[dict[str, Any]] = field(default_factory=list)

    def note(self, reason: str, pid: int, detail: str) -> None:
        self.restarts[reason] = self.restarts.get(reason, 0) + 1
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.ends = [*self.ends, {"time": stamp, "pid": pid, "reason": reason, "detail": detail}][-_KEPT:]

    def write(self, path: Path) -> None:
        """Raises OSError."""
        write_json(path, {"schemaVersion": 1, "restarts": self.restarts, "ends": self.ends})


def read_health(path: Path) -> Health:
    """What the file says; nothing if there is none or it cannot be read: it is told, never obeyed."""
    with contextlib.suppress(RuntimeFault, OSError):
        value = read_numbered(path) or {}
        restarts = {str(reason): int(count) for reason, count in value.get("restarts", {}).items()}
        return Health(restarts, list(value.get("ends", ())))
    return Health()


def memory_of(pid: int) -> int | None:
    """The bytes of memory that are the process's own (not pages of files), None where /proc does not tell."""
    try:
        words = Path(f"/proc/{pid}/statm").read_bytes().split()
    except OSError:
        return None
    return (int(words[1]) - int(words[2])) * os.sysconf("SC_PAGE_SIZE")


def descriptors_of(pid: int) -> int | None:
    """How many files and connections the process has open, None where /proc does not tell."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return None


def waiting_on(listener: socket.socket) -> int | None:
    """Connections that wait to be accepted, None where the system does not tell."""
    if sys.platform != "linux":
        return None
    try:
        told = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ACCEPT_QUEUE + 4)
    except OSError:
        return None
    if len(told) < _ACCEPT_QUEUE + 4:  # an emulator tells less
        return None
    return int(struct.unpack_from("I", told, _ACCEPT_QUEUE)[0])
