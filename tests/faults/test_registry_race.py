"""Many processes at one tag and one blob: each round has exactly one winner."""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest

from mlship.store.folder import FolderStore

pytestmark = pytest.mark.faults

PROCESSES, ROUNDS = 8, 50
TIMEOUT = 60.0


def _compare_and_set(url: str, number: int, barrier: Barrier, results: Connection) -> None:
    store = FolderStore(url)
    won = []
    for round_number in range(ROUNDS):
        found = store.get("tags/churn/prod")
        barrier.wait(TIMEOUT)  # all have read the same version
        version = store.write_if_match(
            "tags/churn/prod", f"{round_number} {number}".encode(), found[1] if found else None
        )
        if version is not None:
            won.append(round_number)
        barrier.wait(TIMEOUT)
    results.send(won)


def _create(url: str, number: int, barrier: Barrier, results: Connection) -> None:
    store = FolderStore(url)
    won = []
    for round_number in range(ROUNDS):
        barrier.wait(TIMEOUT)
        if store.write_if_absent(f"ledger/{round_number:04}", [b"%d" % number] * 1000):
            won.append(round_number)
    results.send(won)


def race(work: Any, url: str) -> dict[int, list[int]]:
    """Which rounds each process has won."""
    context = multiprocessing.get_context("fork")
    barrier, won = context.Barrier(PROCESSES), {}
    pipes = [context.Pipe(duplex=False) for _ in range(PROCESSES)]
    processes = [
        context.Process(target=work, args=(url, number, barrier, pipe[1]))
        for number, pipe in enumerate(pipes)
    ]
    for process in processes:
        process.start()
    for number, (process, (receiving, sending)) in enumerate(zip(processes, pipes, strict=True)):
        sending.close()
        assert receiving.poll(2 * TIMEOUT), "a process does not answer"
        won[number] = receiving.recv()
        process.join(TIMEOUT)
        assert process.exitcode == 0
    return won


def test_one_winner_of_a_tag_each_round(tmp_path: Path) -> None:
    url = f"dir://{tmp_path}/registry"
    won = race(_compare_and_set, url)
    rounds = sorted(number for rounds in won.values() for number in rounds)
    assert rounds == list(range(ROUNDS))
    last = next(number for number, rounds in won.items() if ROUNDS - 1 in rounds)
    found = FolderStore(url).get("tags/churn/prod")
    assert found is not None
    assert found[0] == f"{ROUNDS - 1} {last}".encode()
    assert list((tmp_path / "registry" / ".tmp").iterdir()) == []


def test_one_writer_of_a_new_key(tmp_path: Path) -> None:
    url = f"dir://{tmp_path}/registry"
    won = race(_create, url)
    assert sorted(number for rounds in won.values() for number in rounds) == list(range(ROUNDS))
    store = FolderStore(url)
    for number, rounds in won.items():
        for round_number in rounds:
            assert b"".join(store.read(f"ledger/{round_number:04}")) == b"%d" % number * 1000
