"""How much a pipe holds."""

from __future__ import annotations

import contextlib
import fcntl

_SET_SIZE = 1031  # F_SETPIPE_SZ of Linux, which Python names from 3.10 on
_WIDE = 1 << 20


def widen(descriptor: int) -> None:
    """Let the pipe hold 1 MiB where the system allows it: with the usual 64 KiB its ends wait for each other.
    What is no pipe stays as it is."""
    with contextlib.suppress(OSError):
        fcntl.fcntl(descriptor, _SET_SIZE, _WIDE)
