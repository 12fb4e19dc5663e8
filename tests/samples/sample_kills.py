"""Kills a piece of work at a chosen call that changes the disk, and checks what it left behind."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

from kill_points import arm

from mlship.bundle.open import open_bundle, verify_bundle
from mlship.bundle.source import Attachment
from mlship.errors import MlshipError
from mlship.reference import Reference
from mlship.registry.check import check
from mlship.registry.over_store import StoreRegistry, open_folder


def killed_at(point: int, work: Callable[[], object]) -> bool:
    """Run `work` in a child that kills itself before its `point`-th changing call; False if it completed."""

    def armed() -> None:
        arm(point)
        work()

    child = in_child(armed)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.waitstatus_to_exitcode(status) == 0
    return False


def in_child(work: Callable[[], object]) -> int:
    """The number of a new process, as warm as this one, that does `work` and nothing else."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return child


def ended(work: Callable[[], object]) -> tuple[int, str]:
    """How a command ends that does `work` in a process of its own: its exit code, and its error."""
    read, write = os.pipe()

    def say() -> None:
        code, said = 0, ""
        try:
            work()
        except MlshipError as error:
            code, said = error.exit_code, str(error)
        os.write(write, json.dumps([code, said]).encode())

    child = in_child(say)
    os.close(write)
    with os.fdopen(read, "rb") as told:
        answer = told.read()
    os.waitpid(child, 0)
    code, said = json.loads(answer)
    return int(code), str(said)


class Streaming:
    """A registry that hides that its blobs are files here, so that bytes are written."""

    def __init__(self, inner: StoreRegistry) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> object:
        if name in ("file_of_blob", "adopt_blob"):
            raise AttributeError(name)
        return getattr(self.inner, name)


def check_everything_published(registry: StoreRegistry) -> None:
    """Every digest that can be found can be read to its last byte, and every tag names one."""
    for name in registry.names():
        for digest in registry.digests(name):
            verify_bundle(open_bundle(registry, Reference(name, digest=digest)))
            for attachment in registry.attachments(name, digest):
                registry.read_attachment(name, attachment)
        for tag in registry.tags(name):
            verify_bundle(open_bundle(registry, Reference(name, tag=tag)))


def all_named(root: Path, places: Sequence[str]) -> dict[str, tuple[str, list[Attachment]]]:
    """By PLACE/TAG, what every tag in the registries below `root` names, and what is attached to that. All
    that can be seen there was read, and is whole."""
    found = {}
    for place in places:
        registry = open_folder(f"dir://{root}/{place}")
        check_everything_published(registry)
        assert check(registry).damage == ()
        for tag in registry.tags("churn"):
            digest = registry.resolve(Reference("churn", tag=tag))
            found[f"{place}/{tag}"] = (digest, registry.attachments("churn", digest))
    return found
