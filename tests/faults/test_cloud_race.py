"""16 pushers at one tag, round after round, each a process of its own with its own connections."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from mlship.store import open_store

pytestmark = [pytest.mark.faults, pytest.mark.server]

PUSHERS, ROUNDS = 16, 50
# Each tries to write round n on top of what it has read, until round ROUNDS is there.
PUSHER = """
import json, sys
from mlship.store import open_store
store, number, rounds, won = open_store(sys.argv[1]), sys.argv[2], int(sys.argv[3]), []
store.get("tags/prod")
print("ready", flush=True)
sys.stdin.readline()
while True:
    found = store.get("tags/prod")
    turn = json.loads(found[0])["turn"] + 1 if found else 0
    if turn == rounds:
        break
    said = json.dumps({"turn": turn, "by": number, "before": found and json.loads(found[0])["by"]}).encode()
    if store.write_if_match("tags/prod", said, found[1] if found else None) is not None:
        won.append(turn)
        assert store.write_if_absent(f"history/{turn:04}", [said]), "two winners of one round"
print(json.dumps(won))
"""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("cloud", ["s3", "azblob"], indirect=True)
def test_one_winner_a_round_and_no_update_lost(cloud: Any) -> None:
    url = cloud.fresh()
    command = [sys.executable, "-c", PUSHER, url]
    pushers = [
        subprocess.Popen(
            [*command, str(number), str(ROUNDS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for number in range(PUSHERS)
    ]
    try:
        for pusher in pushers:
            assert pusher.stdout
            assert pusher.stdout.readline() == "ready\n"
        for pusher in pushers:
            assert pusher.stdin
            pusher.stdin.write("\n")
            pusher.stdin.flush()
        won = {
            number: json.loads(pusher.communicate(timeout=500)[0]) for number, pusher in enumerate(pushers)
        }
    finally:
        for pusher in pushers:
            pusher.kill()
    assert sorted(turn for turns in won.values() for turn in turns) == list(range(ROUNDS))
    by = {str(turn): str(number) for number, turns in won.items() for turn in turns}
    store = open_store(url)
    for turn in range(ROUNDS):
        said = json.loads(b"".join(store.read(f"history/{turn:04}")))
        before = by[str(turn - 1)] if turn else None
        assert said == {"turn": turn, "by": by[str(turn)], "before": before}
