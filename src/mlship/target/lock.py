"""The lock of one service: who is changing it, with a fencing number that only grows.

Stale means: its owner's process on this machine is gone, or its heartbeat number has not moved for STALE
seconds on the reader's own clock. No clock of another machine is ever compared.
"""

from __future__ import annotations

import contextlib
import os
import platform
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from mlship.errors import LockedError, MlshipError, TargetError
from mlship.result import Result, to_json
from mlship.store.protocol import Store
from mlship.store.records import read_record, whoami
from mlship.target.ledger import Ledger

STALE = 60.0
HEARTBEAT = 10.0
LOCK_SCHEMA = 1


class Owner(Result, frozen=True, kw_only=True):
    """A process that can be looked for: host and boot say where, pid and its start tick which."""

    who: str
    host: str
    boot: str
    pid: int
    started: str


class LockRecord(Result, frozen=True, kw_only=True):
    """What stands in the store under `lock`; a free one keeps the highest fencing number."""

    held: bool
    fence: int
    heartbeat: int
    owner: Owner | None
    why: str
    since: str
    schema_version: int = LOCK_SCHEMA


class _Fenced(msgspec.Struct):
    fence: int


class Lock:
    """A held lock: its fencing number, and the check to make right before each action."""

    def __init__(self, store: Store, key: str, record: LockRecord, version: str) -> None:
        self.fence = record.fence
        self._store, self._key, self._record, self._version = store, key, record, version
        self._guard, self._stop, self._lost = threading.Lock(), threading.Event(), False
        self._thread = threading.Thread(target=self._beat, daemon=True, name="mlship-lock")
        self._thread.start()

    def check(self) -> None:
        """Raise LockedError if somebody else has taken the lock meanwhile."""
        with self._guard:
            current = self._store.get(self._key)
            if self._lost or current is None or current[1] != self._version:
                self._lost = True
                raise LockedError(
                    "the lock was taken by somebody else meanwhile",
                    cause=_holder(_decode(current[0])) if current else "it was removed",
                    fix="Look at mlship status, then deploy again",
                )

    def release(self) -> None:
        """Give the lock back; its fencing number stays."""
        self._stop.set()
        self._thread.join()
        with self._guard:
            if not self._lost:
                self._write(msgspec.structs.replace(self._record, held=False, owner=None))

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT):
            beat = msgspec.structs.replace(self._record, heartbeat=self._record.heartbeat + 1)
            # A store that cannot be reached now is found by the next check, not by this thread.
            with self._guard, contextlib.suppress(MlshipError):
                self._write(beat)

    def _write(self, record: LockRecord) -> None:
        version = self._store.write_if_match(self._key, to_json(record), self._version)
        if version is None:
            self._lost = True
        else:
            self._record, self._version = record, version


@contextlib.contextmanager
def locked(ledger: Ledger, why: str, *, wait: float = 0.0, above: int = 0) -> Iterator[Lock]:
    """Hold the service's lock, with a fencing number `above` what the target has seen: a ledger may be newer
    than the target. Raises LockedError, naming the owner, if it is not free within `wait` seconds.
    """
    lock = _acquire(ledger.store, _key(ledger), why, wait, above)
    try:
        yield lock
    except BaseException:
        with contextlib.suppress(MlshipError):  # what went wrong is told; a lock that stays goes stale
            lock.release()
        raise
    lock.release()


def read_lock(ledger: Ledger) -> LockRecord | None:
    """The lock as it stands; None if there was never one."""
    current = ledger.store.get(_key(ledger))
    return _decode(current[0]) if current else None


def owner_is_gone(record: LockRecord) -> bool:
    """True if the owner ran on this machine and its process no longer exists."""
    owner = record.owner
    if owner is None or owner.host != platform.node():
        return False
    return owner.boot != _boot() or _started(owner.pid) != owner.started


def break_lock(ledger: Ledger) -> LockRecord | None:
    """Free the lock by hand, whoever holds it and whether or not it can be read; returns what was broken,
    None if it was free."""
    key = _key(ledger)
    current = ledger.store.get(key)
    if current is None:
        return None
    try:
        record = _decode(current[0])
    except TargetError:
        record = _unreadable(ledger, current[0])
    if not record.held:
        return None
    freed = msgspec.structs.replace(record, held=False, owner=None)
    if ledger.store.write_if_match(key, to_json(freed), current[1]) is None:
        raise LockedError(
            "the lock changed hands while it was being broken", fix="Look again with mlship status"
        )
    ledger.append("unlock", {"held": msgspec.to_builtins(record)}, fence=record.fence)
    return record


def _acquire(store: Store, key: str, why: str, wait: float, above: int) -> Lock:
    deadline, watch = time.monotonic() + wait, _Watch()
    while True:
        current = store.get(key)
        held = _decode(current[0]) if current else None
        if held is None or not held.held or owner_is_gone(held) or watch.is_stale(held):
            fence = max(held.fence if held else 0, above) + 1
            record = LockRecord(held=True, fence=fence, heartbeat=0, owner=_me(), why=why, since=_now())
            version = store.write_if_match(key, to_json(record), current[1] if current else None)
            if version is not None:
                return Lock(store, key, record, version)
            continue
        if time.monotonic() >= deadline:
            raise LockedError(
                "another rollout is under way",
                cause=_holder(held),
                fix="Wait for it, or break its lock with mlship force-unlock if it is dead",
            )
        time.sleep(min(1.0, max(0.05, deadline - time.monotonic())))


class _Watch:
    """Notices a heartbeat that does not move, on this process's own clock."""

    def __init__(self) -> None:
        self._seen: tuple[int, int] | None = None
        self._since = 0.0

    def is_stale(self, record: LockRecord) -> bool:
        mark = (record.fence, record.heartbeat)
        if mark != self._seen:
            self._seen, self._since = mark, time.monotonic()
        return time.monotonic() - self._since >= STALE


def _holder(record: LockRecord) -> str:
    owner = record.owner
    if owner is None:
        return "nobody holds it now"
    return f"{owner.who} (process {owner.pid}) holds the lock since {record.since} for {record.why}"


def _decode(data: bytes) -> LockRecord:
    fix = "Break it with mlship force-unlock if nobody deploys"
    return read_record(data, LockRecord, schema=LOCK_SCHEMA, what="the lock", fix=fix, error=TargetError)


def _unreadable(ledger: Ledger, data: bytes) -> LockRecord:
    """What stands for a lock that cannot be read: held, with the highest fencing number that can be found."""
    fences = [0]
    with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
        fences.append(msgspec.json.decode(data, type=_Fenced).fence)
    with contextlib.suppress(MlshipError):
        fences += [entry.fence for entry in ledger.entries()]
    why = "a command that cannot be told, for the lock cannot be read"
    return LockRecord(held=True, fence=max(fences), heartbeat=0, owner=None, why=why, since=_now())


def _key(ledger: Ledger) -> str:
    return f"{ledger.prefix}/lock"


def _me() -> Owner:
    pid = os.getpid()
    return Owner(who=whoami(), host=platform.node(), boot=_boot(), pid=pid, started=_started(pid) or "")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """The process's start time in clock ticks since boot (proc(5), field 22); None if there is no such
    process.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        if Path("/proc/self").exists():
            return None
        return "" if _alive(pid) else None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
