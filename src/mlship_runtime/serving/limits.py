"""How much one client may send. The defaults; all sizes in bytes, all times in seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    header: int = 16 << 10  # all header lines of a request together
    target: int = 8 << 10
    body: int = 8 << 20
    linger: float = 2.0  # how long late bytes are read and thrown away after the last answer
