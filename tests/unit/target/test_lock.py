"""The lock: one holder, a fence that grows, stale owners, breaking it by hand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from mlship.errors import LockedError, TargetError
from mlship.target import lock as lock_module
from mlship.target.ledger import Ledger
from mlship.target.lock import Lock, LockRecord, break_lock, locked, owner_is_gone, read_lock


def record(ledger: Ledger) -> LockRecord:
    found = read_lock(ledger)
    assert found is not None
    return found


def put(ledger: Ledger, changed: LockRecord) -> None:
    current = ledger.store.get(f"{ledger.prefix}/lock")
    assert current is not None
    assert ledger.store.write_if_match(f"{ledger.prefix}/lock", msgspec.json.encode(changed), current[1])


def test_one_holder_who_is_named(ledger: Ledger) -> None:
    taken = pytest.raises(LockedError, match=f"process {os.getpid()}.*for deploy")
    with locked(ledger, "deploy"), taken, locked(ledger, "rollback"):
        pass
    assert not record(ledger).held


def test_the_fence_grows_with_every_holder(ledger: Ledger) -> None:
    fences = []
    for _ in range(3):
        with locked(ledger, "deploy") as held:
            fences.append(held.fence)
    assert fences == [1, 2, 3]


def test_owner_process_gone_is_stale_at_once(ledger: Ledger) -> None:
    code = (
        "import os,sys\nfrom mlship.store import open_store\nfrom mlship.target.ledger import Ledger\n"
        "from mlship.target.lock import locked\n"
        "with locked(Ledger(open_store(sys.argv[1]), 'here/churn'), 'deploy'): os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, ledger.store.url], check=False)
    assert done.returncode == -9
    assert owner_is_gone(record(ledger))
    with locked(ledger, "deploy") as held:
        assert held.fence == 2


def test_reused_process_number_is_not_taken_for_the_owner(ledger: Ledger) -> None:
    with locked(ledger, "deploy"):
        held = record(ledger)
        assert held.owner is not None
        assert not owner_is_gone(held)
        other = msgspec.structs.replace(held.owner, started="1")
        assert owner_is_gone(msgspec.structs.replace(held, owner=other))


def test_far_owner_is_stale_when_its_heartbeat_stands_still(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    with locked(ledger, "deploy"):
        pass
    far = lock_module.Owner(who="eve@far", host="far", boot="b", pid=1, started="1")
    put(ledger, msgspec.structs.replace(record(ledger), held=True, owner=far, heartbeat=7))
    with pytest.raises(LockedError, match="eve@far"), locked(ledger, "deploy"):
        pass
    monkeypatch.setattr(lock_module, "STALE", 0.2)
    with locked(ledger, "deploy", wait=5.0) as held:
        assert held.fence == 2


def test_broken_by_hand_fences_the_holder(ledger: Ledger) -> None:
    with locked(ledger, "deploy") as held:
        broken = break_lock(ledger)
        assert broken is not None
        assert broken.fence == held.fence
        with pytest.raises(LockedError, match="taken by somebody else"):
            held.check()
        with locked(ledger, "deploy") as other:
            assert other.fence == held.fence + 1
    assert [e.kind for e in ledger.entries()] == ["unlock"]


def test_breaking_a_free_lock_does_nothing(ledger: Ledger) -> None:
    assert break_lock(ledger) is None


def test_heartbeat_moves_and_the_lock_stays_held(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_module, "HEARTBEAT", 0.01)
    with locked(ledger, "deploy") as held:
        _until(lambda: record(ledger).heartbeat >= 3)
        held.check()


def test_check_reads_the_store_each_time(ledger: Ledger, tmp_path: Path) -> None:
    with locked(ledger, "deploy") as held:
        assert isinstance(held, Lock)
        held.check()
        put(ledger, msgspec.structs.replace(record(ledger), fence=99))
        with pytest.raises(LockedError):
            held.check()


def _until(true: object, tries: int = 500) -> None:
    import time

    for _ in range(tries):
        if true():  # type: ignore[operator]
            return
        time.sleep(0.01)
    pytest.fail("it did not happen")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"{", "cannot be read"),
        (b'{"schemaVersion": 1}', "cannot be read"),
        (b'{"schemaVersion": 2, "fence": 7}', "newer mlship"),
    ],
)
def test_a_lock_that_cannot_be_read_is_told_and_can_be_broken(ledger: Ledger, data: bytes, says: str) -> None:
    with locked(ledger, "deploy") as held:
        ledger.append("begin", {}, fence=held.fence)
    key = f"{ledger.prefix}/lock"
    current = ledger.store.get(key)
    assert current is not None
    assert ledger.store.write_if_match(key, data, current[1])
    with pytest.raises(TargetError, match=says):
        read_lock(ledger)
    broken = break_lock(ledger)
    assert broken is not None
    assert broken.fence == (7 if b"fence" in data else 1)
    with locked(ledger, "deploy") as held:
        assert held.fence == broken.fence + 1


@pytest.mark.parametrize(("number", "says"), [(2, "newer mlship"), (-1, "schema number")])
def test_ledger_entries_are_read_by_their_schema_number(ledger: Ledger, number: int, says: str) -> None:
    entry = msgspec.structs.replace(ledger.append("begin", {}, fence=1), schema_version=number)
    ledger.store.write_if_absent(f"{ledger.prefix}/entries/00000002", [msgspec.json.encode(entry)])
    with pytest.raises(TargetError, match=says):
        ledger.entries()
