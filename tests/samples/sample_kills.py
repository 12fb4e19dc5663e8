"""Kills a piece of work at a chosen call that changes the disk, and checks what it left behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from mlship.bundle.open import open_bundle, verify_bundle
from mlship.reference import Reference
from mlship.registry.over_store import StoreRegistry

CHANGING = ("open", "write", "link", "rename", "replace", "unlink", "fsync", "fchmod", "mkdir")


def killed_at(point: int, work: Callable[[], object]) -> bool:
    """Run `work` in a child that kills itself before its `point`-th changing call; False if it completed."""
    child = os.fork()
    if child == 0:
        _arm(point)
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.waitstatus_to_exitcode(status) == 0
    return False


def _arm(point: int) -> None:
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


def check_everything_published(registry: StoreRegistry) -> None:
    """Every digest that can be found can be read to its last byte, and every tag names one."""
    for name in registry.names():
        for digest in registry.digests(name):
            verify_bundle(open_bundle(registry, Reference(name, digest=digest)))
            for attachment in registry.attachments(name, digest):
                registry.read_attachment(name, attachment)
        for tag in registry.tags(name):
            verify_bundle(open_bundle(registry, Reference(name, tag=tag)))
