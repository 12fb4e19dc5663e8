"""Gives the system back what loading took and serving does not need: freed memory, and code that ran once."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from collections.abc import Iterable, Iterator
from pathlib import Path

_SMAPS = "/proc/self/smaps"
_MADV_DONTNEED = 4
_READ_ONLY = (b"r--p", b"r-xp")
_CHANGED = (b"Anonymous:", b"Swap:")  # not what is dirty: so is a file that has just been unpacked


def give_back() -> None:
    """Call it when everything is loaded: what is in memory now is left out of garbage collection."""
    gc.collect()
    gc.freeze()
    with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)
    with contextlib.suppress(OSError, AttributeError):  # a system that does not tell
        smaps, advise = Path(_SMAPS).read_bytes(), ctypes.CDLL(None).madvise
        advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        for start, end in code_as_on_disk(smaps.splitlines()):
            advise(start, end - start, _MADV_DONTNEED)


def code_as_on_disk(smaps: Iterable[bytes]) -> Iterator[tuple[int, int]]:
    """From `smaps` (proc(5)), the areas of programs and libraries of which memory has nothing else: what
    is used of them comes back from the page cache when it is used. Data that is mapped stays as it is."""
    areas: list[tuple[bytes, bytes]] = []
    programs: set[bytes] = set()
    place, path, same = b"", b"", False
    for line in smaps:
        words = line.split(None, 5)
        if not words[0].endswith(b":"):
            place, path = words[0], words[5] if len(words) > 5 else b""
            if words[1] == b"r-xp" and path.startswith(b"/"):
                programs.add(path)
            same = words[1] in _READ_ONLY
        elif words[0] in _CHANGED and words[1] != b"0":
            same = False
        elif words[0] == b"VmFlags:" and same:  # the last line of an area
            areas.append((place, path))
    for place, path in areas:
        if path in programs:
            start, _, end = place.partition(b"-")
            yield int(start, 16), int(end, 16)
