"""Atomic files, locks between processes, and the fence that stands on both."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import mlship_runtime
from mlship_runtime.errors import Fenced, SiteError
from mlship_runtime.files import (
    as_site_errors,
    last_lines,
    locked,
    make_folder,
    read_json,
    read_numbered,
    remove,
    take_lock,
    write_atomic,
    write_json,
)
from mlship_runtime.supervision import fence
from mlship_runtime.supervision.eventlog import EventLog, bound
from mlship_runtime.supervision.layout import Site
from mlship_runtime.supervision.live import forget, read_live, set_live


def test_a_write_replaces_the_whole_file_and_leaves_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "state"
    write_atomic(path, b"a long first value")
    write_atomic(path, b"short")
    assert path.read_bytes() == b"short"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["state"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_value(tmp_path: Path, monkeypatch, call: str) -> None:
    path = tmp_path / "state"
    write_atomic(path, b"old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(*((os, "fsync") if call == "fsync" else (Path, "replace")), full)
    words = r"^state is lost: No space left on device\. Free space"
    with pytest.raises(SiteError, match=words), as_site_errors("state is lost"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["state"]


def test_data_is_synced_before_the_rename_and_the_folder_after(tmp_path: Path, monkeypatch) -> None:
    calls: list[str] = []
    sync, replace = os.fsync, Path.replace

    def spied_sync(descriptor: int) -> None:
        calls.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        sync(descriptor)

    def spied_replace(self: Path, target: Path) -> Path:
        calls.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", spied_sync)
    monkeypatch.setattr(Path, "replace", spied_replace)
    write_json(tmp_path / "state", {"a": 1})
    assert calls == ["file", "rename", "folder"]


def test_json_is_an_object_or_absent_or_an_error(tmp_path: Path) -> None:
    assert read_json(tmp_path / "none") is None
    (tmp_path / "list").write_text("[1]")
    (tmp_path / "torn").write_text('{"a": ')
    for name in ("list", "torn"):
        with pytest.raises(SiteError, match=f"{name} cannot be read"):
            read_json(tmp_path / name)


def test_removing_takes_whole_folders_and_minds_nothing_missing(tmp_path: Path) -> None:
    folder = tmp_path / "layer" / "deep"
    folder.mkdir(parents=True)
    (folder / "file").write_bytes(b"x")
    (folder / "file").chmod(0o444)
    remove(tmp_path / "layer")
    remove(tmp_path / "layer")
    assert list(tmp_path.iterdir()) == []


def test_last_lines_reads_only_the_end(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("".join(f"line {number}\n\n" for number in range(5000)))
    assert last_lines(path, 2) == ["line 4998", "line 4999"]
    assert last_lines(tmp_path / "none") == []


HOLDER = """
import sys; sys.path.insert(0, sys.argv[1])
from pathlib import Path
from mlship_runtime.files import locked
with locked(Path(sys.argv[2]), "it"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_lock_excludes_other_processes_and_goes_with_its_own(tmp_path: Path) -> None:
    root = str(Path(mlship_runtime.__file__).parent.parent)
    command = [sys.executable, "-I", "-S", "-c", HOLDER, root, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(SiteError, match="it is in use"), locked(tmp_path / "lock", "it", timeout=0.2):
            pytest.fail("two held the lock")
        holder.kill()
    os.close(take_lock(tmp_path / "lock", "it", timeout=5))


def test_the_fence_rises_and_never_falls(tmp_path: Path) -> None:
    layout = Site(tmp_path).service("tiny")
    assert fence.highest(layout) == 0
    for number in (None, 3, 3, 5, None):
        fence.admit(layout, number)
    assert fence.highest(layout) == 5
    with pytest.raises(Fenced, match="fence number 4 is refused: tiny has had orders with number 5"):
        fence.admit(layout, 4)
    layout.fence.write_text("five")
    with pytest.raises(SiteError):
        fence.admit(layout, 9)


def test_live_and_served_change_together(tmp_path: Path) -> None:
    layout = Site(tmp_path).service("tiny")
    make_folder(layout.folder)
    assert read_live(layout).release is None
    set_live(layout, 1)
    set_live(layout, 2)
    assert (read_live(layout).release, sorted(read_live(layout).served)) == (2, [1, 2])
    set_live(layout, None)
    forget(layout, {1})
    assert (read_live(layout).release, sorted(read_live(layout).served)) == (None, [2])
    layout.live.write_text(json.dumps({"schemaVersion": 2}))
    with pytest.raises(SiteError, match="made by a newer mlship"):
        read_live(layout)


def test_the_event_log_keeps_one_older_file(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "log", limit=300)
    for number in range(50):
        log.note("tick", number=number)
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert lines[-1]["number"] == 49
    assert (tmp_path / "log").stat().st_size < 400
    assert (tmp_path / "log.old").stat().st_size < 400
    assert len(list(tmp_path.iterdir())) == 2


def test_a_bounded_log_goes_on_for_whoever_appends(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("ab", buffering=0) as worker:
        worker.write(b"a" * 200)
        bound(path, 100)
        worker.write(b"b")
        assert path.read_bytes() == b"b"
    bound(tmp_path / "none", 100)


@pytest.mark.parametrize(
    ("number", "says"), [(2, "newer mlship"), (None, "schema number"), ("1", "schema number")]
)
def test_what_a_service_wrote_is_read_by_its_schema_number(tmp_path: Path, number: object, says: str) -> None:
    path = tmp_path / "service.json"
    assert read_numbered(path) is None
    write_json(path, {"schemaVersion": 1, "port": 1})
    assert read_numbered(path) == {"schemaVersion": 1, "port": 1}
    write_json(path, {"schemaVersion": number})
    with pytest.raises(SiteError, match=says):
        read_numbered(path)
