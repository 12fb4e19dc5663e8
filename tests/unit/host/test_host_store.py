"""A Store on a host: what is its own beside the contract, with the far end as a process of this machine."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from mlship.errors import BundleError, LockedError, RegistryError
from mlship.host import ground_floor, store_session
from mlship.host.child import ChildProcess
from mlship.host.local import LocalHost
from mlship.host.protocol import Lost
from mlship.host.store import HostStore
from mlship.store.asking import Patience
from mlship.store.folder import FolderStore
from mlship.target.ledger import Ledger
from mlship.target.lock import break_lock, locked
from mlship_runtime.errors import StoreFault
from mlship_runtime.store import upload
from mlship_runtime.store.folder import Folder, version_of
from mlship_runtime.store.frames import SIGN, Broken, Frames, packed
from mlship_runtime.store.upload import Upload

MIB = 1 << 20
HURRIED = Patience(attempts=4, pause=0.01, longest=0.1)
ONCE = Patience(attempts=1)


class Watched(ChildProcess):
    """Ended after `into` bytes of input, or instead of telling what comes after `out` bytes of output."""

    def __init__(self, argv: Sequence[str], into: float, out: float) -> None:
        super().__init__(argv)
        self.into, self.out, self.sent, self.told = into, out, 0, 0

    @property
    def number(self) -> int:
        return self._child.pid

    def write(self, data: bytes) -> None:
        if self.sent + len(data) > self.into:
            super().write(data[: int(max(0, self.into - self.sent))])
            self.end()
            raise BrokenPipeError
        super().write(data)
        self.sent += len(data)

    def read(self, most: int) -> bytes:
        data = super().read(most)
        self.told += len(data)
        if self.told > self.out:
            self.end()
            return b""
        return data

    def end(self) -> None:
        self._child.kill()
        self._child.wait()


class Bare(LocalHost):
    """Like a machine behind SSH: nothing of mlship is there. Its first process ends as is said."""

    ground_floor = None
    name = "bare"

    def __init__(self, into: float = 1e18, out: float = 1e18) -> None:
        self.ends, self.started = [(into, out)], list[Watched]()

    def start(self, argv: Sequence[str]) -> Watched:
        ends = self.ends.pop(0) if self.ends else (1e18, 1e18)
        self.started.append(Watched(argv, *ends))
        return self.started[-1]

    @property
    def sent(self) -> int:
        return sum(process.sent for process in self.started)


@pytest.fixture
def store_at(tmp_path: Path) -> Iterator[Callable[..., HostStore]]:
    """`store_at(host, patience)`: the store of this test."""
    opened: list[HostStore] = []

    def at(host: LocalHost | None = None, patience: Patience = HURRIED) -> HostStore:
        opened.append(
            HostStore(host or Bare(), f"{tmp_path}/store", "ssh://bare/store", sys.executable, patience)
        )
        return opened[-1]

    yield at
    for store in opened:
        store.close()


def content(folder: Path) -> dict[str, bytes]:
    """What lies there now, without a machine between."""
    store = FolderStore(f"dir://{folder}/store")
    return {key: b"".join(store.read(key)) for key in store.list("")}


LONG = os.urandom(3 * MIB + 17)
OLD = version_of(b"old")


def long(data: bytes = LONG) -> Iterator[bytes]:
    for at in range(0, len(data), 700_000):
        yield data[at : at + 700_000]


# What each does to a store that has `old`, and what it says when it has done so.
CHANGES: dict[str, tuple[Callable[[HostStore], object], object, dict[str, bytes]]] = {
    "write": (lambda store: store.write_if_absent("new", [b"1"]), True, {"old": b"old", "new": b"1"}),
    "first": (
        lambda store: store.write_if_match("new", b"1", None),
        version_of(b"1"),
        {"old": b"old", "new": b"1"},
    ),
    "swap": (lambda store: store.write_if_match("old", b"2", OLD), version_of(b"2"), {"old": b"2"}),
    "delete": (lambda store: store.delete_if_match("old", OLD), True, {}),
    "upload": (
        lambda store: store.write_if_absent("new", long(), len(LONG)),
        True,
        {"old": b"old", "new": LONG},
    ),
}


def opening(folder: Path) -> int:
    """Bytes that a session takes before its first request."""
    asked: dict[str, object] = {"id": 1, "do": "open", "root": f"{folder}/store", "url": "ssh://bare/store"}
    asked |= {"host": "bare", "private": None}
    return len(ground_floor.archive("store")) + len(packed(asked))


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("more", [1, MIB])
def test_a_program_that_is_killed_before_it_has_the_whole_request(
    store_at: Callable[..., HostStore], tmp_path: Path, change: str, more: int
) -> None:
    do, said, after = CHANGES[change]
    FolderStore(f"dir://{tmp_path}/store").write_if_absent("old", [b"old"])
    cut = opening(tmp_path) + more
    if more < MIB or change == "upload":
        with pytest.raises(RegistryError, match="the connection to bare broke: it"):
            do(store_at(Bare(into=cut), ONCE))
        assert content(tmp_path) == {"old": b"old"}
    assert do(store_at(Bare(into=cut))) == said
    assert content(tmp_path) == after


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("answers", range(2))
def test_an_answer_that_is_lost(
    store_at: Callable[..., HostStore], tmp_path: Path, change: str, answers: int
) -> None:
    """What was done is not taken for somebody else's work, and not done twice."""
    do, said, after = CHANGES[change]
    FolderStore(f"dir://{tmp_path}/store").write_if_absent("old", [b"old"])
    host = Bare(out=len(SIGN) + len(packed({"id": 1, "ok": True})) + 60 * answers)
    assert do(store_at(host)) == said
    assert content(tmp_path) == after
    assert len(host.started) == 2 or answers


def test_another_writer_is_told_from_a_lost_answer(
    store_at: Callable[..., HostStore], tmp_path: Path
) -> None:
    """Somebody else wrote between the lost request and the next: that is no success."""
    other = FolderStore(f"dir://{tmp_path}/store")
    other.write_if_absent("old", [b"old"])

    class Overtaken(Bare):
        def start(self, argv: Sequence[str]) -> Watched:
            if self.started:
                other.write_if_match("old", b"theirs", OLD)
            return super().start(argv)

    store = store_at(Overtaken(into=opening(tmp_path) + 20))
    assert store.write_if_match("old", b"ours", OLD) is None
    assert content(tmp_path) == {"old": b"theirs"}


def test_an_upload_goes_on_after_its_writer_was_killed(
    store_at: Callable[..., HostStore], tmp_path: Path
) -> None:
    data = os.urandom(12 * MIB + 5)
    first, second = Bare(into=9 * MIB), Bare()
    with pytest.raises(RegistryError, match="broke"):
        store_at(first, ONCE).write_if_absent("big", long(data), len(data))
    assert content(tmp_path) == {}
    assert store_at(second).write_if_absent("big", long(data), len(data))
    assert second.sent < 8 * MIB, "a part of 4 MiB at most is sent again"
    assert content(tmp_path) == {"big": data}


def test_an_upload_goes_on_in_another_session(store_at: Callable[..., HostStore], tmp_path: Path) -> None:
    """Its source is read once, from the beginning to the end."""
    data = os.urandom(12 * MIB + 5)
    host = Bare(into=9 * MIB)
    host.ends.append((1e18, len(SIGN) + 600))
    assert store_at(host).write_if_absent("big", long(data), len(data))
    assert len(host.started) == 3
    assert host.sent < len(data) + 2 * 4 * MIB
    assert content(tmp_path) == {"big": data}


def test_what_another_writer_of_the_key_sent_is_not_taken_for_ours(
    store_at: Callable[..., HostStore], tmp_path: Path
) -> None:
    theirs, ours = os.urandom(5 * MIB + 5), os.urandom(2 * MIB + 3)
    ours = theirs[:MIB] + ours
    with pytest.raises(RegistryError):
        store_at(Bare(into=5 * MIB), ONCE).write_if_absent("big", long(theirs))
    host = Bare()
    assert store_at(host).write_if_absent("big", long(ours))
    assert content(tmp_path) == {"big": ours}
    assert host.sent < 3 * MIB
    assert list((tmp_path / "store" / ".tmp").iterdir()) == []


@pytest.mark.parametrize("error", [BundleError("damaged"), KeyboardInterrupt(), Lost("of another machine")])
def test_a_source_that_fails(
    store_at: Callable[..., HostStore], tmp_path: Path, error: BaseException
) -> None:
    """What came is forgotten where it is wrong, and else left."""

    def breaks() -> Iterator[bytes]:
        yield LONG
        raise error

    store = store_at()
    with pytest.raises(type(error)):
        store.write_if_absent("big", breaks())
    assert content(tmp_path) == {}
    left = list((tmp_path / "store" / ".tmp").iterdir())
    assert len(left) == (not isinstance(error, BundleError))
    assert store.write_if_absent("big", long())


@pytest.mark.parametrize("ours", [True, False])
def test_a_part_that_may_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ours: bool) -> None:
    """One of ours was to be published when its writer was killed; another user's is his."""
    folder = Folder(tmp_path / "store", "ssh://bare/store")
    Upload(folder, "big").close()
    (part,) = folder.temporary.iterdir()
    part.write_bytes(b"theirs")
    real = os.open

    def refused(path: Path, *more: int) -> int:
        if path == part and part.exists() and part.read_bytes():
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, *more)

    monkeypatch.setattr(os, "open", refused)
    monkeypatch.setattr(upload, "_FREED", 0.0 if not ours else 60.0)
    monkeypatch.setattr(os, "geteuid", lambda: part.stat().st_uid + (not ours))
    Upload(folder, "big").close()
    assert (part.read_bytes() == b"theirs") != ours
    assert len(list(folder.temporary.iterdir())) == 2 - ours


def test_what_could_not_be_brought_to_the_disk_is_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    folder = Folder(tmp_path / "store", "ssh://bare/store")
    begun = Upload(folder, "big")
    begun.put(0, b"data")
    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(StoreFault, match="its disk reports an error"):
        begun.commit(4)
    assert list(folder.temporary.iterdir()) == []


def test_a_value_that_is_changed_while_it_is_read(store_at: Callable[..., HostStore]) -> None:
    store = store_at()
    store.write_if_absent("big", long(LONG * 3))
    reading = store.read("big")
    next(reading)
    found = store.stat("big")
    assert found
    store.delete_if_match("big", found.version)
    store.write_if_absent("big", long(os.urandom(len(LONG) * 3)))
    with pytest.raises(RegistryError, match="was changed while it was read"):
        b"".join(reading)


def test_reading_goes_on_where_it_was_cut(store_at: Callable[..., HostStore]) -> None:
    store_at().write_if_absent("big", long(LONG * 3))
    host = Bare(out=5 * MIB + 300)
    assert b"".join(store_at(host).read("big", 3)) == (LONG * 3)[3:]
    assert len(host.started) == 2


def test_reading_leaves_nothing(store_at: Callable[..., HostStore], tmp_path: Path) -> None:
    store = store_at()
    assert store.get("a") is None
    assert list(store.list("")) == []
    assert not store.delete_if_match("a", "x")
    assert list(tmp_path.iterdir()) == []


def test_many_requests_take_one_process(store_at: Callable[..., HostStore], tmp_path: Path) -> None:
    host = Bare()
    store = store_at(host)
    for number in range(50):
        store.write_if_absent(f"entries/{number}", [b"x"])
    assert list(store.list("")) == sorted(content(tmp_path))
    assert len(host.started) == 1


def test_a_far_end_that_stands_still(
    store_at: Callable[..., HostStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_session, "STALL", 1.0)
    host = Bare()
    store = store_at(host)
    store.write_if_absent("a", [b"1"])
    os.kill(host.started[0].number, signal.SIGSTOP)
    assert store.get("a") == (b"1", version_of(b"1"))
    assert len(host.started) == 2


def test_a_program_that_breaks_is_no_lost_connection(store_at: Callable[..., HostStore]) -> None:
    class Breaking(Bare):
        def start(self, argv: Sequence[str]) -> Watched:
            code = "import os; os.write(1, b'mlship-store 1\\n'); os.read(0, 9); raise ValueError('odd')"
            return super().start([sys.executable, "-c", code])

    with pytest.raises(RegistryError, match="the store on bare cannot go on: ValueError: odd"):
        store_at(Breaking()).stat("a")


def test_an_interpreter_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(RegistryError) as caught:
        HostStore(Bare(), str(tmp_path), "ssh://bare/x", "/bin/false", ONCE).stat("a")
    assert str(caught.value) == (
        "no store can be opened on bare: it ended without a word. Look at /bin/false there, 3.9 or newer"
    )


def test_what_a_login_script_says_does_not_matter(store_at: Callable[..., HostStore]) -> None:
    class Greeting(Bare):
        def start(self, argv: Sequence[str]) -> Watched:
            return super().start(["/bin/sh", "-c", 'echo "Welcome!"; exec "$@"', "sh", *argv])

    assert store_at(Greeting()).write_if_absent("a", [b"1"])


@pytest.mark.parametrize("said", [b"\xff" * 64, packed({"id": 2, "ok": True})[:-5], b"\0\0\0\2\0\0\0\0[]"])
def test_what_is_no_frame(said: bytes) -> None:
    pieces = [SIGN[:5], SIGN[5:] + said, b""]

    def fill(room: memoryview) -> int:
        piece = pieces.pop(0)
        room[: len(piece)] = piece
        return len(piece)

    frames = Frames(fill)
    assert frames.skip_to_sign() == b""
    with pytest.raises(Broken):
        frames.take()


def test_errors_of_the_folder_name_the_machine(store_at: Callable[..., HostStore], tmp_path: Path) -> None:
    (tmp_path / "store").write_bytes(b"")
    with pytest.raises(RegistryError) as caught:
        store_at().write_if_absent("a", [b"1"])
    where = f"the folder {tmp_path}/store on bare"
    assert str(caught.value) == f"cannot write to {where}: a part of its path is a file. Name a folder"


def test_a_home_is_that_of_the_user_there_and_his_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    store = HostStore(Bare(), "~/models/store", "ssh://bare/~/models/store", sys.executable)
    assert store.write_if_absent("a", [b"1"])
    store.close()
    assert (tmp_path / "models" / "store" / "a").read_bytes() == b"1"
    assert (tmp_path / "models").stat().st_mode & 0o777 == 0o700


def test_two_writers_over_two_sessions(store_at: Callable[..., HostStore]) -> None:
    stores, won = [store_at() for _ in range(2)], list[int]()
    barrier = threading.Barrier(2, timeout=60)

    def race(number: int) -> None:
        for turn in range(20):
            found = stores[number].get("tag")
            barrier.wait()
            said = f"{turn} {number}".encode()
            if stores[number].write_if_match("tag", said, found[1] if found else None):
                won.append(turn)
            barrier.wait()

    threads = [threading.Thread(target=race, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert won == list(range(20))


def test_two_writers_of_one_long_value_over_two_sessions(
    store_at: Callable[..., HostStore], tmp_path: Path
) -> None:
    ours, theirs = os.urandom(3 * MIB), os.urandom(3 * MIB)
    store = store_at()

    def overtaken() -> Iterator[bytes]:
        yield ours[:MIB]
        assert store_at().write_if_absent("big", long(theirs))
        yield ours[MIB:]

    assert not store.write_if_absent("big", overtaken())
    assert content(tmp_path) == {"big": theirs}


def test_a_ledger_whose_connection_breaks(
    store_at: Callable[..., HostStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock is kept through it, its heart goes on, and each entry is written once."""
    monkeypatch.setattr("mlship.target.lock.HEARTBEAT", 0.3)
    host = Bare()
    ledger = Ledger(store_at(host), "prod/churn")
    with locked(ledger, "deploy") as lock:
        begun = ledger.append("begin", {}, fence=lock.fence)
        for number in range(5):
            host.started[-1].end()
            lock.check()
            ledger.append("action", {"n": number}, fence=lock.fence, rollout=begun.sequence)
        other = Ledger(store_at(), "prod/churn")
        with pytest.raises(LockedError, match="another rollout is under way"), locked(other, "rollback"):
            pass
        while True:  # between two beats
            with contextlib.suppress(LockedError):
                assert break_lock(other)
                break
        with pytest.raises(LockedError, match="taken by somebody else"):
            lock.check()
    kinds = [entry.kind for entry in other.entries()]
    assert kinds == ["begin", *["action"] * 5, "unlock"]
    with locked(other, "deploy") as lock:
        assert lock.fence == 2
