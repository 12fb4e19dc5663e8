"""How many workers a release gets, what each may hold, and the file that tells how it has fared."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from mlship_runtime import capacity
from mlship_runtime.capacity import ceiling_of, worker_count
from mlship_runtime.supervision.health import (
    DIED,
    HUNG,
    Health,
    descriptors_of,
    memory_of,
    read_health,
    waiting_on,
)
from mlship_runtime.supervision.slot import pause_after

linux = pytest.mark.skipif(sys.platform != "linux", reason="read from /proc")


@pytest.mark.parametrize(
    ("asked", "processors", "memory", "expected"),
    [
        (3, 1, None, 3),
        (0, 4, None, 4),
        (0, 4, 8 << 30, 4),
        (0, 16, 1 << 30, 4),
        (0, 16, 64 << 20, 1),
    ],
)
def test_one_worker_for_each_processor_as_far_as_the_memory_goes(
    monkeypatch, asked: int, processors: int, memory: int | None, expected: int
) -> None:
    monkeypatch.setattr(capacity, "processors", lambda: processors)
    monkeypatch.setattr(capacity, "memory", lambda: memory)
    assert worker_count(asked) == expected


def test_the_ceiling_is_a_share_of_what_is_set_or_allowed(monkeypatch) -> None:
    monkeypatch.setattr(capacity, "memory", lambda: 1000)
    assert ceiling_of(0, 2) == 450
    assert ceiling_of(4000, 4) == 1000
    monkeypatch.setattr(capacity, "memory", lambda: None)
    assert ceiling_of(0, 2) is None


def test_pauses_between_restarts_grow_to_five_seconds_and_no_further() -> None:
    assert [pause_after(deaths) for deaths in range(6)] == [0, 0, 0.1, 0.2, 0.4, 0.8]
    assert {pause_after(deaths) for deaths in (9, 100, 5_000)} == {5.0}


def test_what_was_noted_is_read_again(tmp_path: Path) -> None:
    health = Health()
    for pid in range(20):
        health.note(DIED if pid % 2 else HUNG, pid, "was killed by signal 9")
    health.write(tmp_path / "1.health.json")
    found = read_health(tmp_path / "1.health.json")
    assert found == health
    assert found.restarts == {DIED: 10, HUNG: 10}
    assert [end["pid"] for end in found.ends] == list(range(12, 20)), "the last ones, in order"


@pytest.mark.parametrize(
    "text", ["", "{", '{"schemaVersion": 99}', '{"schemaVersion": 1, "restarts": {"x": 1}}']
)
def test_a_file_that_says_nothing_stops_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "1.health.json"
    path.write_text(text)
    assert read_health(path).ends == []


@linux
def test_what_a_process_holds() -> None:
    before, files = memory_of(os.getpid()), descriptors_of(os.getpid())
    assert before
    assert files
    kept = bytearray(os.urandom(1)) * (64 << 20)
    with Path(os.devnull).open():
        assert descriptors_of(os.getpid()) == files + 1
    assert memory_of(os.getpid()) > before + (60 << 20)
    assert len(kept) == 64 << 20
    assert memory_of(1 << 30) is None
    assert descriptors_of(1 << 30) is None


@linux
def test_connections_that_wait_to_be_accepted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert waiting_on(listener) == 0
        clients = [socket.create_connection(listener.getsockname()) for _ in range(3)]
        assert waiting_on(listener) == 3
        for client in clients:
            client.close()


@linux
def test_a_system_that_tells_less_of_a_connection() -> None:
    class Emulated(socket.socket):
        """As qemu has it: the first bytes alone."""

        def getsockopt(self, *_: int) -> bytes:  # type: ignore[override]
            return b"\n\0\0\0"

    with Emulated() as listener:
        assert waiting_on(listener) is None
