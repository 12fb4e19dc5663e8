"""What crossed a border of a domain, or was refused: numbered records, each with the digest of the last.

<prefix>/records/<number>  a record, written only if it is absent: two writers are never both the n-th
<prefix>/head              the last record; behind only while one is written, or where its writer was killed

A record that was edited, removed or moved breaks the chain; one that was cut off at the end is missed by the
head. Who may write the whole store can begin a new chain: note the last digest elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Literal

import msgspec

from mlship.digest import sha256
from mlship.errors import PolicyError
from mlship.result import Result
from mlship.store.protocol import Store
from mlship.store.records import read_record, whoami
from mlship_runtime.bundle import canonical

SCHEMA = 1
Kind = Literal["allowed", "refused", "done", "failed", "policy"]


class End(Result, frozen=True, kw_only=True):
    """One end of a crossing: what it is called, where it is, and its domain (empty: not stated)."""

    name: str
    url: str
    domain: str


class Fact(Result, frozen=True, kw_only=True):
    """What happened: a crossing was `allowed` or `refused`, by which rule of which policy; one that was
    allowed has ended (`done`, `failed`, with the number of its record in `of`); or a `policy` was set."""

    kind: Kind
    verb: str
    reference: str = ""
    digest: str = ""
    labels: tuple[str, ...] = ()
    source: End | None = None
    to: End | None = None
    policies: tuple[str, ...] = ()
    rule: str = ""
    why: str = ""
    of: int = 0


class Entry(Result, frozen=True, kw_only=True):
    """A record: who says it and when (UTC), and the digest of the record before (empty: it is the first)."""

    sequence: int
    previous: str
    at: str
    by: str
    fact: Fact
    schema_version: int = SCHEMA


class Head(Result, frozen=True, kw_only=True):
    """The number and digest of a record."""

    sequence: int
    digest: str
    schema_version: int = SCHEMA


class Checked(Result, frozen=True, kw_only=True):
    """A whole chain: how many records, and the digest of the last."""

    records: int
    last: str


class AuditLog:
    """The log of one place, below `prefix` of `store`."""

    def __init__(self, store: Store, prefix: str) -> None:
        self.store, self.prefix = store, prefix

    @property
    def where(self) -> str:
        return f"the audit log {self.prefix} in {self.store.url}"

    def append(self, fact: Fact) -> Entry:
        """Add a record durably; whoever is faster, both records are there in the end."""
        head, version = self._head()
        sequence, previous = head.sequence + 1, head.digest
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        while True:
            entry = Entry(sequence=sequence, previous=previous, at=at, by=whoami(), fact=fact)
            data = _encoded(entry)
            if self.store.write_if_absent(self._key(sequence), [data], len(data)):
                break
            previous = sha256(b"".join(self.store.read(self._key(sequence))))
            sequence += 1
        mine = Head(sequence=sequence, digest=sha256(data))
        while head.sequence < sequence:
            if self.store.write_if_match(self._head_key, _encoded(mine), version or None):
                break
            head, version = self._head()
        return entry

    def entries(self) -> Iterator[Entry]:
        """All records, oldest first; nothing is checked but that they can be read."""
        for key in self.store.list(f"{self.prefix}/records/"):
            found = self.store.get(key)
            if found is not None:
                yield self._read(key, found[0])

    def check(self, holds: str | None = None) -> Checked:
        """Go through the chain from its first record; `holds` is a digest that was noted and must be in it.
        Raises PolicyError that names the first record that is not as it was written."""
        head, _ = self._head()
        previous, number, seen = "", 0, set()
        for key in self.store.list(f"{self.prefix}/records/"):
            number += 1
            found = self.store.get(key)
            if found is None or key != self._key(number):
                raise self._broken(number, "it is not there, and later ones are")
            entry = self._read(key, found[0])
            if entry.sequence != number:
                raise self._broken(number, f"it says that it is number {entry.sequence}")
            if entry.previous != previous:
                raise self._broken(number, f"number {number - 1} is not what it was when this was written")
            previous = sha256(found[0])
            seen.add(previous)
            if number == head.sequence and previous != head.digest:
                raise self._broken(number, "it is not what it was when it was written")
        if number < head.sequence:
            raise self._broken(number + 1, f"the log had {head.sequence} records and ends before it")
        if holds is not None and holds not in seen:
            raise PolicyError(f"{self.where} is another one", cause=f"no record of it is {holds}", fix=_FIX)
        return Checked(records=number, last=previous)

    @property
    def _head_key(self) -> str:
        return f"{self.prefix}/head"

    def _head(self) -> tuple[Head, str]:
        found = self.store.get(self._head_key)
        if found is None:
            return Head(sequence=0, digest=""), ""
        head = read_record(
            found[0], Head, schema=SCHEMA, what=f"the head of {self.where}", fix=_FIX, error=PolicyError
        )
        return head, found[1]

    def _key(self, sequence: int) -> str:
        return f"{self.prefix}/records/{sequence:012d}"

    def _read(self, key: str, data: bytes) -> Entry:
        return read_record(
            data, Entry, schema=SCHEMA, what=f"{key} in {self.store.url}", fix=_FIX, error=PolicyError
        )

    def _broken(self, number: int, cause: str) -> PolicyError:
        return PolicyError(f"{self.where} is broken at number {number}", cause=cause, fix=_FIX)


_FIX = "Somebody has changed it: find out who can write there, and keep it as it is until then"


def _encoded(value: Result) -> bytes:
    return canonical.encode(msgspec.to_builtins(value))
