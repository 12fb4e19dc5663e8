"""The append-only history of one service, kept in a Store at the target.

Entries are numbered keys written only if absent, so that two writers can never both be the n-th. A rollout
is a `begin`, an `action` and a `result` per action, and an `end`; one without an end was interrupted.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, Literal

from mlship.errors import TargetError
from mlship.result import Result, to_json
from mlship.store.protocol import Store
from mlship.store.records import read_record, whoami

LEDGER_SCHEMA = 1
_AT_ONCE = 8  # entries that are asked for at a time: a store may be far away
Kind = Literal["begin", "action", "result", "end", "unlock"]


class Entry(Result, frozen=True, kw_only=True):
    """One line of history. `rollout` is the sequence number of the `begin` that it belongs to."""

    sequence: int
    kind: Kind
    at: str
    by: str
    fence: int
    rollout: int
    data: dict[str, Any]
    schema_version: int = LEDGER_SCHEMA


class Ledger:
    """Reads and appends the entries of one (target, service) below `prefix` of `store`."""

    def __init__(self, store: Store, prefix: str) -> None:
        self.store, self.prefix = store, prefix
        self._last: int | None = None
        self._known: dict[str, Entry] = {}

    def append(self, kind: Kind, data: dict[str, Any], *, fence: int, rollout: int | None = None) -> Entry:
        """Add an entry durably; `rollout` None makes it the first of its own."""
        sequence = self.last_sequence() if self._last is None else self._last
        while True:
            sequence += 1
            entry = Entry(
                sequence=sequence,
                kind=kind,
                at=datetime.now(UTC).isoformat(timespec="milliseconds"),
                by=whoami(),
                fence=fence,
                rollout=sequence if rollout is None else rollout,
                data=data,
            )
            self._last = sequence
            if self.store.write_if_absent(self._key(sequence), [to_json(entry)]):
                return entry

    def entries(self) -> list[Entry]:
        """All entries, oldest first. One is read once, for it never changes; that it still is the same
        history, the first one tells."""
        keys = list(self.store.list(f"{self.prefix}/entries/"))
        first = {key: self._read(key) for key in keys[:1]}
        if any(self._known.get(key) != entry for key, entry in first.items()):
            self._known = first
        missing = [key for key in keys if key not in self._known]
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="mlship-ledger") as pool:
            self._known.update(zip(missing, pool.map(self._read, missing), strict=True))
        return [self._known[key] for key in keys]

    def last_sequence(self) -> int:
        last = 0
        for key in self.store.list(f"{self.prefix}/entries/"):
            last = int(key.rsplit("/", 1)[1])
        return last

    def erase(self) -> None:
        """Remove every entry, then the lock, which the caller holds (destroy --purge)."""
        keys = list(self.store.list(f"{self.prefix}/"))
        for key in sorted(keys, key=lambda key: key == f"{self.prefix}/lock"):
            stat = self.store.stat(key)
            if stat is not None:
                self.store.delete_if_match(key, stat.version)

    def _key(self, sequence: int) -> str:
        return f"{self.prefix}/entries/{sequence:08d}"

    def _read(self, key: str) -> Entry:
        data = b"".join(self.store.read(key))
        fix = "Look at it in the ledger's store; without it, the history has a gap"
        return read_record(
            data, Entry, schema=LEDGER_SCHEMA, what=f"the ledger entry {key}", fix=fix, error=TargetError
        )
