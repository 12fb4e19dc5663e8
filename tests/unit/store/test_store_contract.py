"""What every Store promises (store/protocol.py), asked of each: folders here and there, S3, Azure Blob."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from mlship.errors import BundleError, LockedError, PolicyError, RegistryError
from mlship.host import Host, LocalHost
from mlship.host.ssh import SshHost
from mlship.host.ssh.address import Access
from mlship.host.ssh.by_openssh import OpenSshWire
from mlship.host.ssh.by_paramiko import ParamikoWire
from mlship.host.ssh.wire import Wire
from mlship.host.store import HostStore
from mlship.reference import parse_reference
from mlship.registry import open_registry
from mlship.store import open_store
from mlship.store.folder import SMALL, FolderStore
from mlship.store.protocol import Store
from mlship.target.ledger import Ledger
from mlship.target.lock import break_lock, locked
from mlship.trust.audit_log import AuditLog, Fact
from mlship.trust.kept_policy import StorePolicy

PART = 5 << 20


@pytest.fixture(scope="module")
def machine(request: pytest.FixtureRequest) -> Iterator[Callable[[str], Host]]:
    """`machine("openssh")`: this one, or what is behind sshd by either client, connected once."""
    wires: dict[str, Callable[[Access], Wire]] = {"paramiko": ParamikoWire, "openssh": OpenSshWire}
    opened: dict[str, SshHost] = {}

    def of(kind: str) -> Host:
        if kind == "here":
            return LocalHost()
        if kind not in opened:
            access = request.getfixturevalue("sshd").access()
            opened[kind] = SshHost(wires[kind](access), access)
        return opened[kind]

    yield of
    for host in opened.values():
        host.close()


@pytest.fixture(
    params=["dir", "s3", "azblob", "here", "paramiko", pytest.param("openssh", marks=pytest.mark.faults)]
)
def store(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    url_of: Callable[[str], str],
    cloud_of: Any,
    machine: Callable[[str], Host],
) -> Iterator[Store]:
    kind = request.param
    if kind == "dir":
        yield FolderStore(url_of(kind))
    elif kind in ("s3", "azblob"):
        yield cloud_of(kind).store(url_of(kind), PART)
    else:
        store = HostStore(machine(kind), f"{tmp_path}/store", "ssh://machine/store", sys.executable)
        yield store
        store.close()


def whole(store: Store, key: str, start: int = 0, length: int | None = None) -> bytes:
    return b"".join(store.read(key, start, length))


def test_it_is_found_by_its_scheme(store_url: str) -> None:
    assert open_store(store_url).url == store_url
    assert open_registry(store_url).url == store_url
    assert open_store(store_url).write_if_absent("a", [b"1"])
    assert open_store(store_url).get("a") is not None


def test_what_is_not_there(store: Store) -> None:
    assert store.stat("a") is None
    assert store.get("a") is None
    assert list(store.list("")) == []
    assert not store.delete_if_match("a", '"0x8DCAFE"')
    assert store.write_if_match("a", b"1", '"0x8DCAFE"') is None
    for length in (None, 0, 5):
        with pytest.raises(RegistryError, match="has no a/b"):
            whole(store, "a/b", 0, length)


def test_write_if_absent(store: Store) -> None:
    assert store.write_if_absent("a/b", [b"one", b"", b"two"], 6)
    assert not store.write_if_absent("a/b", [b"other"])
    assert whole(store, "a/b") == b"onetwo"
    stat = store.stat("a/b")
    assert stat is not None
    assert stat.size == 6
    assert store.get("a/b") == (b"onetwo", stat.version)


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, 2 * PART, 3 * PART + 7])
def test_values_around_the_size_of_a_part(store: Store, size: int) -> None:
    data = os.urandom(size)
    assert store.write_if_absent("blobs/x", (data[at : at + 999_999] for at in range(0, size, 999_999)), size)
    assert whole(store, "blobs/x") == data
    stat = store.stat("blobs/x")
    assert stat is not None
    assert stat.size == size
    assert not store.write_if_absent("blobs/x", [b"other"])
    assert list(store.list("")) == ["blobs/x"]


def test_what_is_there_is_not_asked_for_again(store: Store) -> None:
    def never() -> Iterator[bytes]:
        yield pytest.fail("asked for the content")

    store.write_if_absent("a", [b"1"])
    assert not store.write_if_absent("a", never())


@pytest.mark.parametrize("size", [3, 2 * PART + 5])
@pytest.mark.parametrize("more", [-1, 1])
def test_another_size_than_announced(store: Store, size: int, more: int) -> None:
    with pytest.raises(RegistryError, match=f"{size} bytes came for a where {size + more} were announced"):
        store.write_if_absent("a", [bytes(size)], size + more)
    assert store.stat("a") is None


@pytest.mark.parametrize("size", [5, 2 * PART + 5])
def test_a_source_that_fails_leaves_nothing(store: Store, size: int) -> None:
    def breaks() -> Iterator[bytes]:
        yield bytes(size)
        raise BundleError("damaged")

    with pytest.raises(BundleError, match="damaged"):
        store.write_if_absent("a", breaks())
    assert list(store.list("")) == []
    assert store.write_if_absent("a", [b"1"])


def test_ranges(store: Store) -> None:
    data = os.urandom((2 << 20) + 5)
    store.write_if_absent("big", [data])
    assert whole(store, "big", 3, 4) == data[3:7]
    assert whole(store, "big", 1 << 20) == data[1 << 20 :]
    assert whole(store, "big", 0, 0) == b""
    assert whole(store, "big", 0, 10) == data[:10]
    assert whole(store, "big", len(data) - 2, 100) == data[-2:]
    assert whole(store, "big", len(data)) == b""
    assert whole(store, "big", len(data) + 1) == b""
    assert all(len(chunk) <= 1 << 20 for chunk in store.read("big"))
    store.write_if_absent("empty", [])
    assert whole(store, "empty") == whole(store, "empty", 0, 5) == whole(store, "empty", 3) == b""


def test_compare_and_set(store: Store) -> None:
    first = store.write_if_match("tag", b"1", None)
    assert first is not None
    assert store.write_if_match("tag", b"2", None) is None
    assert store.write_if_match("tag", b"2", '"0x8DCAFE"') is None
    second = store.write_if_match("tag", b"2", first)
    assert second is not None
    assert second != first
    assert store.write_if_match("tag", b"3", first) is None
    assert store.get("tag") == (b"2", second)
    stat = store.stat("tag")
    assert stat is not None
    assert stat.version == second


def test_compare_and_delete(store: Store) -> None:
    version = store.write_if_match("tag", b"1", None)
    assert version is not None
    assert not store.delete_if_match("tag", '"0x8DCAFE"')
    assert store.delete_if_match("tag", version)
    assert store.get("tag") is None
    assert not store.delete_if_match("tag", version)
    assert store.write_if_match("tag", b"1", version) is None
    assert store.write_if_match("tag", b"1", None) is not None


def test_limits_of_small_values(store: Store) -> None:
    assert store.write_if_match("most", bytes(SMALL), None)
    with pytest.raises(RegistryError, match="too many for more"):
        store.write_if_match("more", bytes(SMALL + 1), None)
    store.write_if_absent("large", [bytes(16 << 20), b"1"])
    with pytest.raises(RegistryError, match="too large to be read at once"):
        store.get("large")


def test_list_is_sorted_by_the_whole_key(store: Store) -> None:
    keys = ["a-b", "a/b", "a/b-c", "a/c/d", "a0", "b/a", "_x"]
    for key in keys:
        store.write_if_absent(key, [b""])
    assert list(store.list("")) == sorted(keys)
    assert list(store.list("a")) == ["a-b", "a/b", "a/b-c", "a/c/d", "a0"]
    assert list(store.list("a/")) == ["a/b", "a/b-c", "a/c/d"]
    assert list(store.list("a/b")) == ["a/b", "a/b-c"]
    assert list(store.list("a/c/d")) == ["a/c/d"]
    assert list(store.list("nothing/here/")) == []


@pytest.mark.parametrize("key", ["", "/a", "a//b", "..", "a/../b", ".lock", "a b", "ä", "a:b", "x" * 513])
def test_keys_that_no_store_takes(store: Store, key: str) -> None:
    for call in (store.stat, store.get, lambda k: store.write_if_absent(k, [b""]), lambda k: whole(store, k)):
        with pytest.raises(RegistryError, match="is not a key of a store"):
            call(key)


def test_sixteen_writers_and_one_winner_a_round(store: Store) -> None:
    rounds, writers = 5, 16
    won: list[tuple[int, int]] = []
    barrier = threading.Barrier(writers, timeout=60)

    def race(number: int) -> None:
        for turn in range(rounds):
            found = store.get("tags/prod")
            barrier.wait()
            said = f"{turn} {number}".encode()
            if store.write_if_match("tags/prod", said, found[1] if found else None) is not None:
                won.append((turn, number))
            barrier.wait()

    threads = [threading.Thread(target=race, args=(number,)) for number in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert sorted(turn for turn, _ in won) == list(range(rounds))
    found = store.get("tags/prod")
    assert found is not None
    assert found[0] == "{} {}".format(*max(won)).encode()


def test_two_writers_of_one_long_value(store: Store) -> None:
    data, results = os.urandom(3 * PART), []
    barrier = threading.Barrier(2, timeout=60)

    def slowly() -> Iterator[bytes]:
        for at in range(0, len(data), PART):
            barrier.wait()  # both have begun before either ends
            yield data[at : at + PART]

    def write() -> None:
        results.append(store.write_if_absent("blobs/x", slowly(), len(data)))

    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert sorted(results) == [False, True]
    assert whole(store, "blobs/x") == data


def test_a_model_of_it(store: Store) -> None:
    """Any order of calls: as a dictionary would answer."""
    number = iter(range(1 << 30))

    class Machine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.root = f"run-{next(number)}"
            self.model: dict[str, bytes] = {}
            self.versions: dict[str, str] = {}

        keys = st.sampled_from(["a-b", "a/b", "a/c", "b-1", "tags/x/1.0"])
        values = st.binary(max_size=20)

        @rule(key=keys, data=values)
        def write(self, key: str, data: bytes) -> None:
            assert store.write_if_absent(f"{self.root}/{key}", [data], len(data)) == (key not in self.model)
            self.model.setdefault(key, data)

        @rule(key=keys, data=values, known=st.booleans())
        def swap(self, key: str, data: bytes, known: bool) -> None:
            version = self.versions.get(key) if known else None
            current = store.stat(f"{self.root}/{key}")
            fits = (current.version if current else None) == version
            written = store.write_if_match(f"{self.root}/{key}", data, version)
            assert (written is not None) == fits
            if written is not None:
                self.model[key], self.versions[key] = data, written

        @rule(key=keys)
        def delete(self, key: str) -> None:
            found = store.get(f"{self.root}/{key}")
            assert (found and found[0]) == self.model.get(key)
            assert store.delete_if_match(f"{self.root}/{key}", found[1] if found else "none") == bool(found)
            self.model.pop(key, None)

        @invariant()
        def lists(self) -> None:
            assert list(store.list(f"{self.root}/")) == sorted(f"{self.root}/{key}" for key in self.model)

    Machine.TestCase.settings = settings()
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=12, stateful_step_count=12, suppress_health_check=list(HealthCheck), deadline=None
        ),
    )


def test_a_registry_over_it(store_url: str) -> None:
    from sample_bundle import make_bundle

    registry = open_registry(store_url)
    digest = make_bundle(registry, model=os.urandom(9 << 20))
    tagged = registry.set_tag("churn", "1.0", digest, None)
    assert registry.names() == ["churn"]
    assert registry.tags("churn") == {"1.0": digest}
    assert registry.resolve(parse_reference("churn:1.0")) == digest
    assert registry.read_tag("churn", "1.0") == tagged
    registry.delete_tag("churn", "1.0", tagged)
    assert registry.tags("churn") == {}


def test_a_policy_and_its_log_over_it(store: Store) -> None:
    """Of two who set a policy one is told; of all who write into the log nothing is lost."""
    kept = StorePolicy(store, "policy")
    assert kept.read_policy() is None
    assert kept.write_policy(b"one", None)
    assert not kept.write_policy(b"two", None)
    found = kept.read_policy()
    assert found is not None
    assert kept.write_policy(b"two", found[1])
    assert not kept.write_policy(b"three", found[1])

    def write(verb: str) -> None:
        for _ in range(3):
            AuditLog(store, "audit").append(Fact(kind="allowed", verb=verb))

    writers = [threading.Thread(target=write, args=(verb,)) for verb in ("push", "pull", "copy")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    log = AuditLog(store, "audit")
    assert log.check().records == 9
    assert sorted(entry.fact.verb for entry in log.entries()) == ["copy"] * 3 + ["pull"] * 3 + ["push"] * 3
    (last,) = list(store.list("audit/records/"))[-1:]
    stat = store.stat(last)
    assert stat is not None
    assert store.delete_if_match(last, stat.version)
    with pytest.raises(PolicyError, match="broken at number 9"):
        log.check()


def test_a_ledger_over_it(store: Store) -> None:
    ledger = Ledger(store, "prod/churn")
    with locked(ledger, "deploy") as lock:
        lock.check()
        begun = ledger.append("begin", {"bundle": "x"}, fence=lock.fence)
        other = Ledger(store, "prod/churn")
        assert other.append("end", {}, fence=lock.fence, rollout=begun.sequence).sequence == 2
        assert ledger.append("begin", {}, fence=lock.fence).sequence == 3
        with pytest.raises(LockedError, match="another rollout is under way"), locked(other, "rollback"):
            pass
        assert break_lock(other) is not None
        with pytest.raises(LockedError, match="taken by somebody else"):
            lock.check()
    assert [entry.kind for entry in ledger.entries()] == ["begin", "end", "begin", "unlock"]
    ledger.erase()
    assert list(store.list("")) == []


_LONG = """
import re, sys
from pathlib import Path
from mlship.store import open_store
store, size, block = open_store(sys.argv[1]), 128, bytes(range(256)) * 4096
chunks = (number.to_bytes(8, "big") + block[8:] for number in range(size))
assert store.write_if_absent("x", chunks, size << 20)
assert sum(map(len, store.read("x"))) == size << 20
print(re.search("VmHWM:.* ([0-9]+) kB", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")
def test_memory_does_not_grow_with_the_value(store_url: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LONG, store_url], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 150 << 10
