"""What a power cut may leave: every call that changes names or waits for the disk is recorded, and states of
the folder are made from the record in which whatever no fsync has covered is lost.

Stricter than any one file system: each name that is not synced may be there or not, on its own, and content
that is not synced is gone. So an fsync that is missing shows even where a journal would hide it.
"""

from __future__ import annotations

import builtins
import io
import os
import shutil
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

# Functions that only wait for the disk: who calls them is the place that needs it.
SYNCS = ("sync", "sync_folder", "_sync")
State = dict[str, bytes | None]  # path below the root -> content; None for a folder


@dataclass(frozen=True)
class Event:
    """`file` tells files apart, whatever their names; `before` is where a renamed one was."""

    kind: str  # create mkdir link rename unlink fsync done
    path: str = ""
    before: str = ""
    file: int = 0
    data: bytes = b""
    site: str = ""

    @property
    def folder(self) -> str:
        return self.path.rpartition("/")[0]


@dataclass
class Record:
    """What happened below a folder, beginning with `first`."""

    root: Path
    first: State
    events: list[Event] = field(default_factory=list)

    def done(self) -> None:
        """A step is acknowledged: what it did must last."""
        self.events.append(Event("done"))

    def pending(self, upto: int, without: str = "") -> list[int]:
        """Which of the first `upto` changes of names no fsync of their folder has followed."""
        found: list[int] = []
        for number, event in enumerate(self.events[:upto]):
            if event.kind == "fsync" and event.site != without:
                found = [one for one in found if self.events[one].folder != event.path]
            elif event.kind not in ("fsync", "done"):
                found.append(number)
        return found

    def state(self, upto: int, lost: frozenset[int] = frozenset(), without: str = "") -> State:
        """After the first `upto` events, of which the changes `lost` never came to the disk."""
        names: dict[str, int] = {}
        content: dict[int, bytes | None] = {}
        for path, data in self.first.items():
            names[path] = -len(names) - 1
            content[names[path]] = data
        for number, event in enumerate(self.events[:upto]):
            if event.kind in ("create", "link"):
                content.setdefault(event.file, event.data)
            elif event.kind == "mkdir":
                content[event.file] = None
            elif event.kind == "fsync" and event.site != without and content.get(event.file) is not None:
                content[event.file] = event.data
            if number not in lost:
                _apply(names, event)
        return {path: content[file] for path, file in names.items() if _above(path) <= {*names} - {path}}


def _apply(names: dict[str, int], event: Event) -> None:
    if event.kind in ("unlink", "rename"):
        names.pop(event.before or event.path, None)
    if event.kind in ("create", "mkdir", "link", "rename"):
        names[event.path] = event.file
    if event.kind == "rename":
        for path in [path for path in names if path.startswith(event.before + "/")]:
            names[event.path + path[len(event.before) :]] = names.pop(path)


def _above(path: str) -> set[str]:
    return {str(parent) for parent in Path(path).parents} - {"."}


def states_of(record: Record, upto: int, without: str = "") -> Iterator[State]:
    """What a power cut after `upto` events may leave: nothing is lost, all that may be, each alone, all but
    each; of what is only being written beside (.tmp) nothing or all."""
    pending = frozenset(record.pending(upto, without))
    single = {x for x in pending if not record.events[x].folder.endswith(".tmp")}
    choices = {frozenset(), pending, *(frozenset({x}) for x in single), *(pending - {x} for x in single)}
    for lost in sorted(choices, key=sorted):
        yield record.state(upto, lost, without)


def write_state(state: State, folder: Path) -> Path:
    """The state as real files, in place of what `folder` held."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path, data in sorted(state.items()):
        if data is None:
            (folder / path).mkdir()
        else:
            (folder / path).write_bytes(data)
            (folder / path).chmod(0o444)
    return folder


def read_state(folder: Path) -> State:
    found = sorted(folder.rglob("*"))
    return {
        path.relative_to(folder).as_posix(): None if path.is_dir() else path.read_bytes() for path in found
    }


@contextmanager
def recorded(root: Path, before: Record | None = None, upto: int = 0) -> Iterator[Record]:
    """Record what this process does below `root`; after the first `upto` events of `before`, if given."""
    record = Record(root, before.first, before.events[:upto]) if before else Record(root, read_state(root))
    with pytest.MonkeyPatch.context() as patch:
        _Watch(record).install(patch)
        yield record


class _Watch:
    """One call at a time, so that the record has the order in which things happened."""

    def __init__(self, record: Record) -> None:
        self.record, self.lock = record, threading.RLock()
        self.files: dict[str, int] = {}  # of the names as they are now
        for number, path in enumerate(record.first):
            self.files[path] = -number - 1
        for event in record.events:
            if event.kind not in ("fsync", "done"):
                _apply(self.files, event)

    def install(self, patch: pytest.MonkeyPatch) -> None:
        for name in ("mkdir", "link", "rename", "replace", "unlink", "fsync"):
            patch.setattr(os, name, self.watched(getattr(os, name), getattr(self, name)))
        patch.setattr(os, "open", self.opening(os.open, lambda flags: bool(flags & os.O_CREAT)))
        for module in (builtins, io):
            real: Any = open
            patch.setattr(module, "open", self.opening(real, lambda mode: mode[:1] in ("w", "x", "a")))

    def watched(self, real: Callable[..., Any], note: Callable[..., None]) -> Callable[..., Any]:
        def call(*args: Any, **more: Any) -> Any:
            with self.lock:
                if real is FSYNC:
                    note(*args)
                    return real(*args)
                done = real(*args, **more)
                note(*args, **more)
                return done

        return call

    def opening(self, real: Callable[..., Any], creates: Callable[[Any], bool]) -> Callable[..., Any]:
        def call(path: Any, *args: Any, **more: Any) -> Any:
            how = args[0] if args else more.get("mode", "r")
            with self.lock:
                inside = None if isinstance(path, int) or not creates(how) else self.inside(path, **more)
                new = inside is not None and inside not in self.files
                opened = real(path, *args, **more)
                if inside is not None and new:
                    self.note("create", inside, self.new())
                return opened

        return call

    def inside(self, path: Any, dir_fd: int | None = None, **_: Any) -> str | None:
        """`path` from the root on; None if it lies elsewhere."""
        at = Path(f"/proc/self/fd/{dir_fd}").readlink() if dir_fd is not None else Path.cwd()
        whole = Path(os.path.normpath(at / os.fsdecode(path)))
        return whole.relative_to(self.record.root).as_posix() if self.record.root in whole.parents else None

    def note(self, kind: str, path: str, file: int = 0, **more: Any) -> None:
        event = Event(kind, path, file=file, **more)
        self.record.events.append(event)
        if kind != "fsync":
            _apply(self.files, event)

    def mkdir(self, path: Any, *_: Any, **more: Any) -> None:
        if (inside := self.inside(path, **more)) is not None:
            self.note("mkdir", inside, self.new())

    def unlink(self, path: Any, **more: Any) -> None:
        if (inside := self.inside(path, **more)) is not None:
            self.note("unlink", inside)

    def link(self, source: Any, path: Any, **_: Any) -> None:
        if (inside := self.inside(path)) is None:
            return
        file = self.files.get(self.inside(source) or "")
        if file is None:  # from elsewhere, where it lies safely
            self.note("link", inside, self.new(), data=_read(source))
        else:
            self.note("link", inside, file)

    def new(self) -> int:
        return len(self.record.events) + 1

    def rename(self, source: Any, path: Any, **_: Any) -> None:
        before, inside = self.inside(source), self.inside(path)
        if before is not None and inside is not None:
            self.note("rename", inside, self.files[before], before=before)

    replace = rename

    def fsync(self, file: Any) -> None:
        path = Path(f"/proc/self/fd/{file if isinstance(file, int) else file.fileno()}")
        inside = self.inside(path.readlink())
        if path.readlink() == self.record.root:
            inside = ""
        if inside is not None:
            data = b"" if stat.S_ISDIR(path.stat().st_mode) else _read(path)
            self.note("fsync", inside, self.files.get(inside, 0), data=data, site=_site())


FSYNC = os.fsync


def _read(path: Any) -> bytes:
    file = os.open(path, os.O_RDONLY)
    try:
        return b"".join(iter(lambda: os.read(file, 1 << 20), b""))
    finally:
        os.close(file)


def _site() -> str:
    """Where the product asked for this fsync: file:line."""
    frame: Any = sys._getframe(3)
    while frame.f_code.co_name in SYNCS:
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
