"""What this process may use of the machine: processors and memory, as its control groups and its affinity
bound them. Both versions of control groups (cgroups(7), Linux `cgroup-v2.rst`); elsewhere only the affinity
counts.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

_SHARE = 0.9  # of a control group's memory: the rest is the supervisor's and the system's
_LEAST = 256 << 20  # bytes for each worker where their number is ours to choose
_UNLIMITED = 1 << 60  # bytes; version 1 writes its largest number where there is no limit


def processors(root: str = "/") -> int:
    """How many processors this process may keep busy, at least 1; a quota of 1.5 is two. `root` is where
    /proc and /sys are."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [allowed, *_quotas(Path(root))]
    return max(1, min(quotas))


def memory(root: str = "/") -> int | None:
    """The bytes that all processes of this control group may have together, None without a limit."""
    limits = []
    for folder in _groups(Path(root), "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            words = _words(folder / name)
            if words and words[0].isdigit() and int(words[0]) < _UNLIMITED:
                limits.append(int(words[0]))
    return min(limits, default=None)


def worker_count(asked: int) -> int:
    """`asked`, or where that is 0 one for each processor, as far as the memory goes."""
    if asked > 0:
        return asked
    limit = memory()
    room = processors() if limit is None else limit // _LEAST
    return max(1, min(processors(), room))


def threads_for(workers: int, *, shared: bool) -> int:
    """Threads for a run of the model in each of `workers`: one for rows, which scale by processes, and all
    that a worker can keep busy where requests share a run."""
    return max(1, processors() // max(1, workers)) if shared else 1


def ceiling_of(wanted: int, workers: int) -> int | None:
    """The bytes that each of `workers` may hold, out of `wanted` for all (0: what the control group allows);
    None without a limit."""
    if wanted:
        return wanted // workers
    limit = memory()
    return None if limit is None else int(limit * _SHARE) // workers


def _quotas(root: Path) -> Iterator[int]:
    for folder in _groups(root, "cpu"):
        words = _words(folder / "cpu.max")
        if not words:
            words = _words(folder / "cpu.cfs_quota_us") + _words(folder / "cpu.cfs_period_us")
        if len(words) == 2 and words[0].isdigit() and words[1].isdigit() and int(words[1]) > 0:
            yield -(-int(words[0]) // int(words[1]))


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """The folders of this process's group and of those above it. In a container the path that the kernel
    tells may be the host's: then the folder that is mounted is the group's own."""
    mounted = root / "sys/fs/cgroup"
    for line in _lines(root / "proc/self/cgroup"):
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if number == "0" and not controllers:
            tops = [mounted, mounted / "unified"]
        elif controller in controllers.split(","):
            tops = [mounted / controllers, mounted / controller]
        else:
            continue
        below = Path(path.lstrip("/"))
        for top in tops:
            for folder in (below, *below.parents):
                yield top / folder


def _words(path: Path) -> list[str]:
    return " ".join(_lines(path)).split()


def _lines(path: Path) -> list[str]:
    with contextlib.suppress(OSError):
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    return []
