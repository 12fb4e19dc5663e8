"""What systemd hears from a supervisor."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlship_runtime.supervision import notify


@pytest.fixture
def heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield receiver


def test_a_state_is_one_datagram(heard: socket.socket) -> None:
    assert notify.tell("READY=1")
    assert heard.recv(100) == b"READY=1"


def test_an_abstract_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"mlship-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind("\0" + name)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name)
        assert notify.tell("READY=1")
        assert receiver.recv(100) == b"READY=1"


@pytest.mark.parametrize("address", [None, "", "relative/path"])
def test_nobody_listens(monkeypatch: pytest.MonkeyPatch, address: str | None) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if address is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", address)
    assert not notify.tell("READY=1")


@pytest.mark.parametrize(
    ("period", "of", "wanted"),
    [
        ("30000000", "", 30.0),
        ("30000000", "own", 30.0),
        ("30000000", "1", None),
        ("0", "", None),
        ("soon", "", None),
        ("", "", None),
    ],
)
def test_whether_this_process_is_watched(
    monkeypatch: pytest.MonkeyPatch, period: str, of: str, wanted: float | None
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", period)
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()) if of == "own" else of)
    assert notify.watchdog_period() == wanted


def test_a_loop_that_turns_is_heard_of_again_and_again(
    heard: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "30000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)

    async def turn() -> None:
        telling = asyncio.ensure_future(notify.keep_telling())
        await asyncio.to_thread(lambda: [heard.recv(100) for _ in range(3)])
        telling.cancel()

    asyncio.run(turn())
