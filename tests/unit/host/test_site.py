"""The near side of the commands on a host: what is sent before them, and what reading leaves behind."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from mlship.errors import TargetError
from mlship.host import ground_floor
from mlship.host.http import request
from mlship.host.local import LocalHost
from mlship.host.protocol import Completed
from mlship.host.site import Site
from mlship_runtime.client import Request


class Bare(LocalHost):
    """A host like one behind SSH: it has no ground floor of its own."""

    ground_floor = None


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


def test_reading_commands_write_nothing_on_a_bare_host(base: Path, python: str) -> None:
    seen = site(base, python, Bare()).call("observe")
    assert (seen["service"], seen["left"]) == (None, False)
    assert not base.exists()


def test_a_bare_host_gets_the_tools_whole_under_one_name(base: Path, python: str) -> None:
    site(base, python, Bare()).boot()
    (tools,) = (base / "tools").iterdir()
    assert len(list(tools.rglob("*.py"))) == len(ground_floor.files())
    assert base.stat().st_mode & 0o777 == 0o700
    before = tools.stat().st_ino
    site(base, python, Bare()).boot()
    assert tools.stat().st_ino == before
    assert str(tools) in site(base, python, Bare()).boot()


def test_tools_that_were_half_sent_are_never_used(base: Path, python: str) -> None:
    """As when the connection breaks: the host has some of the input and sees its end."""

    class Cut(Bare):
        def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float | None = None) -> Completed:
            return super().run(argv, stdin=stdin[: len(stdin) // 2], timeout=timeout)

    with pytest.raises(TargetError, match="cannot be put"):
        site(base, python, Cut()).boot()
    assert not list((base / "tools").glob("*/mlship_runtime/boot.py"))
    site(base, python, Bare()).boot()
    assert len(list((base / "tools").iterdir())) == 1


def test_a_base_below_the_home_folder_is_that_of_the_user_there(
    tmp_path: Path, python: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert site(Path("~/.mlship"), python).base == f"{tmp_path}/.mlship"


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
