"""Many processes at one tag and at one key, each with its own connections, in each kind of store."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from sample_bundle import make_bundle
from sampling import Some

from mlship.registry import open_registry
from mlship.registry.over_store import StoreRegistry
from mlship.store import open_store

pytestmark = [pytest.mark.faults, pytest.mark.server, pytest.mark.timeout(900)]

PUSHERS, ROUNDS = 16, 50  # a tag remembers as many moves
PUSHER = """
import json, sys
from mlship.errors import TagMovedError
from mlship.registry import open_registry
url, digest, rounds, number = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
registry, moved, written = open_registry(url), [], []
registry.read_tag("churn", "prod")
print("ready", flush=True)
sys.stdin.readline()
while True:
    before = registry.read_tag("churn", "prod")
    turn = len(registry.moves("churn", "prod"))
    if turn == rounds:
        break
    try:
        registry.set_tag("churn", "prod", digest, before, source=f"{turn} {number}")
    except TagMovedError:
        continue
    moved.append(turn)
for turn in range(rounds):
    if registry.store.write_if_absent(f"history/{turn:04}", [number.encode()] * 1000):
        written.append(turn)
print(json.dumps([moved, written]))
"""


def won_by(url: str, digest: str, pushers: int, rounds: int) -> list[list[dict[int, str]]]:
    """Of each pusher the turns in which it has moved the tag, and those of which it has written the key."""
    command = [sys.executable, "-c", PUSHER, url, digest, str(rounds)]
    pipe = subprocess.PIPE
    running = [
        subprocess.Popen([*command, str(number)], stdin=pipe, stdout=pipe, text=True)
        for number in range(pushers)
    ]
    try:
        for process in running:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
        for process in running:
            assert process.stdin
            process.stdin.write("\n")
            process.stdin.flush()
        told = [json.loads(process.communicate(timeout=600)[0]) for process in running]
    finally:
        for process in running:
            process.kill()
    return [
        [{turn: str(number) for turn in said[kind]} for number, said in enumerate(told)] for kind in (0, 1)
    ]


@pytest.mark.kinds("store_url")
def test_one_winner_a_round_and_no_update_lost(store_url: str, some: Some) -> None:
    pushers, rounds = some.of(PUSHERS, cost=3), some.of(ROUNDS, cost=4)
    registry: Any = open_registry(store_url)
    assert isinstance(registry, StoreRegistry)
    moved, written = won_by(store_url, make_bundle(registry), pushers, rounds)
    for won in (moved, written):
        assert sorted(turn for turns in won for turn in turns) == list(range(rounds))
    by = {turn: number for turns in moved for turn, number in turns.items()}
    sources = [move.source for move in registry.moves("churn", "prod")]
    assert sources == [f"{turn} {by[turn]}" for turn in range(rounds)]
    assert len(registry.tags("churn")) == len(list(registry.store.list("marks/"))) == 1
    for number, turns in enumerate(written):
        for turn in turns:
            found = b"".join(open_store(store_url).read(f"history/{turn:04}"))
            assert found == str(number).encode() * 1000
