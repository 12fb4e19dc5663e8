"""The near side of the commands on a host: what is sent before them, and what reading leaves behind."""

from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path

import pytest

from mlship.errors import TargetError
from mlship.host.http import request
from mlship.host.local import LocalHost
from mlship.host.site import Site, ground_floor
from mlship_runtime.client import Request


class Bare(LocalHost):
    """A host like one behind SSH: it has no ground floor of its own. Breaks off after `puts` files."""

    ground_floor = None

    def __init__(self, puts: int = 10_000) -> None:
        self.puts = puts

    def put(self, source: Path, target: str) -> None:
        self.puts -= 1
        if self.puts < 0:
            raise TargetError("the connection broke")
        super().put(source, target)


def site(base: Path, python: str, host: LocalHost | None = None) -> Site:
    return Site(host or LocalHost(), str(base), "churn", python)


@pytest.fixture
def python() -> str:
    return str(Path(sys.executable).resolve())


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tmp_path / "base"


def test_reading_commands_write_nothing_on_a_host_that_has_a_ground_floor(base: Path, python: str) -> None:
    seen = site(base, python).call("observe")
    assert (seen["service"], seen["left"]) == (None, False)
    assert site(base, python).call("facts")["freeBytes"] > 0
    assert not base.exists()


def test_a_bare_host_gets_the_tools_whole_under_one_name(base: Path, python: str) -> None:
    site(base, python, Bare()).call("observe")
    (tools,) = (base / "tools").iterdir()
    assert len(list(tools.rglob("*.py"))) == len(ground_floor())
    assert base.stat().st_mode & 0o777 == 0o700
    before = tools.stat().st_ino
    site(base, python, Bare(puts=0)).call("observe")
    assert tools.stat().st_ino == before


def test_tools_that_were_half_sent_are_never_used(base: Path, python: str) -> None:
    with pytest.raises(TargetError, match="connection broke"):
        site(base, python, Bare(puts=5)).call("observe")
    assert all(".part-" in path.name for path in (base / "tools").iterdir())
    site(base, python, Bare()).call("observe")
    assert [path for path in (base / "tools").iterdir() if ".part-" not in path.name]


def test_a_file_that_was_put_is_durable_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    final, synced = tmp_path / "new" / "file", []
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        synced.append((str(Path(f"/proc/self/fd/{descriptor}").readlink()), final.exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    LocalHost().put(Path(__file__), str(final))
    assert (str(final.parent), True) in synced
    assert (str(tmp_path), False) in synced


def test_a_request_waits_as_long_as_it_says() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        began = time.monotonic()
        with pytest.raises(TargetError, match="no whole answer"):
            request(LocalHost(), f"tcp:127.0.0.1:{silent.getsockname()[1]}", Request("/ping", timeout=0.2))
    assert time.monotonic() - began < 5
