"""Garbage collection kept out of the reading of large bodies."""

from __future__ import annotations

import gc
from typing import Callable, TypeVar

T = TypeVar("T")
_LARGE = 64 << 10  # bytes


def uncollected(read: Callable[[], T], body: bytes) -> T:
    """What `read` gives of `body`. A large document may be millions of lists, none of which can be part of a
    cycle: to look through them again and again would take most of the time."""
    if len(body) < _LARGE or not gc.isenabled():
        return read()
    gc.disable()
    try:
        return read()
    finally:
        gc.enable()
