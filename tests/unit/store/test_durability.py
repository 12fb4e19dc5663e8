"""The order of system calls that survives a power cut: content, then name, then folder."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlship.store.folder import FolderStore


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was called, in order; `sync folder` and `sync file` apart."""
    seen: list[str] = []

    def watch(name: str, describe: Callable[..., str]) -> None:
        real = getattr(os, name)

        def call(*args: Any, **more: Any) -> Any:
            seen.append(describe(*args))
            return real(*args, **more)

        monkeypatch.setattr(os, name, call)

    def kind(file: int) -> str:
        return "sync folder" if stat.S_ISDIR(os.fstat(file).st_mode) else "sync file"

    watch("write", lambda *_: "write")
    watch("fsync", kind)
    watch("mkdir", lambda path, *_: f"mkdir {Path(path).name}")
    for name in ("link", "replace", "unlink"):
        watch(name, lambda *_, name=name: name)
    return seen


def test_new_value(tmp_path: Path, calls: list[str]) -> None:
    store = FolderStore(f"dir://{tmp_path}/store")
    store.write_if_absent("a/b", [b"x"])
    assert calls == [
        "sync folder", "mkdir store", "sync folder", "mkdir .tmp", "sync folder", "mkdir a", "sync folder",
        "write", "sync file", "link", "sync folder", "unlink",
    ]  # fmt: skip


def test_changed_value(tmp_path: Path, calls: list[str]) -> None:
    store = FolderStore(f"dir://{tmp_path}/store")
    version = store.write_if_match("a", b"x", None)
    calls.clear()
    assert version is not None
    store.write_if_match("a", b"y", version)
    assert calls[:4] == ["write", "sync file", "replace", "sync folder"]


def test_removed_value(tmp_path: Path, calls: list[str]) -> None:
    store = FolderStore(f"dir://{tmp_path}/store")
    version = store.write_if_match("a", b"x", None)
    calls.clear()
    assert version is not None
    store.delete_if_match("a", version)
    assert calls == ["unlink", "sync folder"]


def test_adopted_file(tmp_path: Path, calls: list[str]) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "file").chmod(0o444)
    store = FolderStore(f"dir://{tmp_path}/store")
    store.write_if_absent("a", [b"x"])
    calls.clear()
    store.adopt("b", tmp_path / "file")
    assert calls == ["sync file", "link", "sync folder"]


def test_whoever_comes_second_may_rely_on_the_first(tmp_path: Path, calls: list[str]) -> None:
    """The first may have been killed between link and fsync; the second acknowledges too, so it syncs."""
    store, other = FolderStore(f"dir://{tmp_path}/store"), FolderStore(f"dir://{tmp_path}/store")

    def overtaken() -> Any:
        yield b"x"
        other.write_if_absent("a", [b"y"])
        calls.clear()

    assert not store.write_if_absent("a", overtaken())
    assert calls == ["sync file", "link", "sync folder", "unlink"]


def test_what_a_killed_writer_left_is_brought_to_the_disk(tmp_path: Path, calls: list[str]) -> None:
    """It may have died right before its fsync: who relies on what it sees makes it last."""
    FolderStore(f"dir://{tmp_path}/store").write_if_absent("a/b", [b"x"])
    (tmp_path / "file").write_bytes(b"x")

    def now() -> FolderStore:
        calls.clear()
        return FolderStore(f"dir://{tmp_path}/store")

    chain = ["sync folder"] * 3  # the store's own, a and b
    assert not now().write_if_absent("a/b", [b"x"])
    assert calls == chain
    assert not now().adopt("a/b", tmp_path / "file")
    assert calls == chain
    assert not now().delete_if_match("a/gone", "1")
    assert calls == chain
    store = now()
    store.settle(["a/b", "a/c", "none/d"])
    assert calls == chain
    calls.clear()
    store.settle(["a/b"])
    assert calls == ["sync folder"]
