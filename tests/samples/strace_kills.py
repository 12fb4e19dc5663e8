"""Kills a piece of work at any system call that changes something: strace counts the calls, and then, one run
for each, delivers SIGKILL at the n-th call of one name."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from sample_kills import in_child

CHANGING = (
    "openat,creat,write,pwrite64,writev,link,linkat,rename,renameat,renameat2,unlink,unlinkat,rmdir,mkdir,mkdirat,"
    "chmod,fchmod,fchmodat,fsync,fdatasync,truncate,ftruncate,flock,sendfile,copy_file_range"
)


class Point(NamedTuple):
    """The `when`-th of all calls of this name."""

    call: str
    when: int


def points(work: Callable[[], object], log: Path) -> list[Point]:
    """Every call of `work` that changes something, in their order."""
    trace = "trace=?" + CHANGING.replace(",", ",?")
    assert _traced(work, ["-o", str(log), "-e", trace]) == 0
    found, counts = [], Counter[str]()
    for name, words in re.findall(r"(?m)^(\w+)\((.*)$", log.read_text()):
        counts[name] += 1
        if name != "openat" or re.search("O_CREAT|O_WRONLY|O_RDWR", words):
            found.append(Point(name, counts[name]))
    return found


def kill_at(point: Point, work: Callable[[], object]) -> None:
    """Run `work` in a process that dies as it enters this call."""
    inject = f"inject={point.call}:signal=SIGKILL:when={point.when}"
    words = ["-o", os.devnull, "-e", f"trace={point.call}", "-e", inject]
    assert _traced(work, words) == -signal.SIGKILL, f"{point} was not reached"


def _traced(work: Callable[[], object], words: list[str]) -> int:
    """How `work` ends in a process that strace looks at from its first call on."""
    hearing, saying = os.pipe()

    def told() -> None:
        os.close(saying)
        os.read(hearing, 1)
        work()

    child = in_child(told)
    os.close(hearing)
    with subprocess.Popen(["strace", "-qq", "-p", str(child), *words]) as strace:
        while "TracerPid:\t0\n" in Path(f"/proc/{child}/status").read_text():
            assert strace.poll() is None, "strace cannot look at processes here"
            time.sleep(0.001)
        os.close(saying)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
