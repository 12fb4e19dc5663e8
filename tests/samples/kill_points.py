"""Ends this process at a chosen call that changes the disk, or that tells somebody."""

from __future__ import annotations

import os
import signal
from typing import Any

CHANGING = (
    "open", "write", "pwrite", "link", "rename", "replace", "unlink", "fsync", "ftruncate", "fchmod", "mkdir",
)  # fmt: skip


def arm(point: int) -> None:
    """From now on the `point`-th such call is not made any more."""
    left = point

    def wrap(name: str) -> None:
        real = getattr(os, name)

        def call(*args: Any, **more: Any) -> Any:
            nonlocal left
            if name != "open" or args[1] & (os.O_WRONLY | os.O_RDWR):
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **more)

        setattr(os, name, call)

    for name in CHANGING:
        wrap(name)
