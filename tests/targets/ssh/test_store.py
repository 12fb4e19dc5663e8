"""A machine's folder as a Store when the line to it breaks, over both clients."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ssh_server import SshServer

from mlship.errors import LockedError, RegistryError
from mlship.host.ssh import SshHost
from mlship.host.store import HostStore
from mlship.store.asking import Patience
from mlship.store.folder import FolderStore
from mlship.target.ledger import Ledger
from mlship.target.lock import break_lock, locked

pytestmark = pytest.mark.server
Reach = Callable[..., SshHost]
MIB = 1 << 20
PATIENT = Patience(attempts=8, pause=0.2, longest=2.0)


def falls(server: SshServer, data: bytes, at: int) -> Iterator[bytes]:
    """`data`, in the midst of which the server falls and gets up again."""
    for start in range(0, len(data), MIB):
        if start == at:
            server.fall()
            server.start()
        yield data[start : start + MIB]


@pytest.fixture
def there(tmp_path: Path) -> FolderStore:
    """The same folder, without a machine between."""
    return FolderStore(f"dir://{tmp_path}/store")


def store_on(host: SshHost, there: FolderStore, patience: Patience = PATIENT) -> HostStore:
    return HostStore(host, str(there.root), "ssh://machine/store", patience=patience)


@pytest.mark.faults
def test_an_upload_goes_on(reach: Reach, own_sshd: SshServer, there: FolderStore) -> None:
    data = os.urandom(12 * MIB + 5)
    store = store_on(reach(own_sshd), there)
    assert store.write_if_absent("big", falls(own_sshd, data, 8 * MIB), len(data))
    assert b"".join(there.read("big")) == data
    assert not list((there.root / ".tmp").iterdir())


@pytest.mark.faults
def test_reading_goes_on(reach: Reach, own_sshd: SshServer, there: FolderStore) -> None:
    data = os.urandom(12 * MIB + 5)
    there.write_if_absent("big", [data])
    reading = store_on(reach(own_sshd), there).read("big")
    first = next(reading)
    own_sshd.fall()
    own_sshd.start()
    assert first + b"".join(reading) == data


@pytest.mark.faults
def test_a_machine_that_stays_away(reach: Reach, own_sshd: SshServer, there: FolderStore) -> None:
    data = os.urandom(8 * MIB)
    store = store_on(reach(own_sshd), there, Patience(attempts=3, pause=0.1))

    def gone() -> Iterator[bytes]:
        yield data[: 4 * MIB]
        own_sshd.fall()
        yield data[4 * MIB :]

    with pytest.raises(RegistryError, match=r"broke|cannot be reached"):
        store.write_if_absent("big", gone())
    assert list(there.list("")) == []
    own_sshd.start()
    assert store.write_if_absent("big", [data])
    assert b"".join(there.read("big")) == data


@pytest.mark.faults
def test_a_ledger_is_kept_through_it(
    reach: Reach, own_sshd: SshServer, there: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlship.target.lock.HEARTBEAT", 0.5)
    ours, theirs = Ledger(store_on(reach(own_sshd), there), "prod/churn"), Ledger(there, "prod/churn")
    with locked(ours, "deploy") as lock:
        begun = ours.append("begin", {}, fence=lock.fence)
        own_sshd.fall()
        own_sshd.start()
        lock.check()
        ours.append("end", {}, fence=lock.fence, rollout=begun.sequence)
        with pytest.raises(LockedError, match="another rollout is under way"), locked(theirs, "rollback"):
            pass
    with locked(theirs, "rollback") as lock:
        assert lock.fence == 2
    assert [entry.kind for entry in theirs.entries()] == ["begin", "end"]
    assert break_lock(ours) is None


def test_many_requests_take_one_command_there(reach: Reach, sshd: SshServer, there: FolderStore) -> None:
    host = reach(sshd)
    started: list[object] = []
    start = host.start
    host.start = lambda argv: started.append(argv) or start(argv)  # type: ignore[method-assign, func-returns-value]
    store = store_on(host, there)
    for number in range(30):
        assert store.write_if_absent(f"entries/{number:02}", [b"x"])
    assert list(store.list("entries/")) == list(there.list("entries/"))
    assert len(started) == 1
    store.close()


def test_nothing_but_the_store_is_left_there(reach: Reach, sshd: SshServer, tmp_path: Path) -> None:
    folder = tmp_path / "machine"
    folder.mkdir()
    store = HostStore(reach(sshd), f"{folder}/store", "ssh://machine/store")
    assert store.get("a") is None
    assert list(folder.iterdir()) == []
    store.write_if_absent("a", [b"1"])
    assert sorted(path.name for path in folder.rglob("*")) == [".tmp", "a", "store"]
    store.close()
