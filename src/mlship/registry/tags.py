"""Tags in a Store: moved by compare-and-set, with their last moves, and listed without being read.

A mark is a key that says what a tag names. It is written before the tag moves and removed after the next
move, so a tag's own mark is always there: a tag with one mark names what the mark says, and only one with
several (somebody is moving it, or was killed) must be read.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from mlship.digest import is_digest
from mlship.errors import BundleError, TagMovedError
from mlship.registry import keys
from mlship.registry.protocol import Listed, Move, Tagged
from mlship.result import Result, to_json
from mlship.store.protocol import Store
from mlship.store.records import read_record, whoami

SCHEMA = 1
KEPT = 50  # moves of a tag that are remembered


class TagRecord(Result, frozen=True, kw_only=True):
    """What lies under a tag. `number` grows with every move, also of a tag that was removed between; with
    the nonce it tells the mark of this move from all others."""

    digest: str
    number: int
    nonce: str
    moves: tuple[Move, ...]
    schema_version: int = SCHEMA

    def mark(self, name: str, tag: str) -> str:
        return f"{keys.marks(name, tag)}{self.number:013}-{self.nonce}-{self.digest[7:]}"


class Tags:
    """The tags of all bundles in a Store. Keeps nothing in memory."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def read(self, name: str, tag: str) -> Tagged | None:
        """None if there is no such tag."""
        record, version = self._read(name, tag)
        return Tagged(record.digest, version) if record else None

    def moves(self, name: str, tag: str) -> list[Move]:
        """The last moves of a tag, oldest first; empty if there is no such tag."""
        record, _ = self._read(name, tag)
        return list(record.moves) if record else []

    def set(self, name: str, tag: str, digest: str, expected: Tagged | None, source: str = "") -> Tagged:
        """Move `tag` if it still is as `expected`. Raises TagMovedError."""
        before, version = self._read(name, tag)
        if version != (expected.version if expected else ""):
            raise moved(name, tag)
        record = _next(before, digest, source)
        mark = record.mark(name, tag)
        self.store.write_if_absent(mark, [])
        new = self.store.write_if_match(keys.tag(name, tag), to_json(record), version or None)
        if new is None:
            self._unmark(mark)
            raise moved(name, tag)
        if before is not None:
            self._unmark(before.mark(name, tag))
        return Tagged(digest, new)

    def delete(self, name: str, tag: str, expected: Tagged) -> None:
        """Remove `tag` if it still is as `expected`. Raises TagMovedError."""
        record, _ = self._read(name, tag)
        if record is None or not self.store.delete_if_match(keys.tag(name, tag), expected.version):
            raise moved(name, tag)
        self._unmark(record.mark(name, tag))

    def listed(self, name: str | None = None) -> Iterator[Listed]:
        """Every tag, of one bundle or of all: two listings, and as a rule nothing is read."""
        marked: dict[str, list[str]] = {}
        for key in keys.listed(self.store, "marks", name):
            place, _, mark = key.removeprefix("marks/").rpartition("/")
            marked.setdefault(place, []).append("sha256:" + mark.rpartition("-")[2])
        for key in keys.listed(self.store, "tags", name):
            place = key.removeprefix("tags/")
            bundle, _, tag = place.partition("/")
            digests = marked.get(place, [])
            tagged = Tagged(digests[0], "") if len(digests) == 1 else self.read(bundle, tag)
            if tagged:
                yield Listed(bundle, tag, tagged.digest)

    def all_named(self) -> Iterator[tuple[str, str]]:
        """The bundles (name and digest) that a tag names, from the tags themselves."""
        for key in keys.listed(self.store, "tags"):
            _, name, tag = key.split("/")
            tagged = self.read(name, tag)
            if tagged:
                yield name, tagged.digest

    def stale_marks(self) -> Iterator[str]:
        """The marks that killed movers have left: of moves before the one that the tag is at."""
        for listed in self.listed():
            record, _ = self._read(listed.name, listed.tag)
            prefix = keys.marks(listed.name, listed.tag)
            for key in keys.listed(self.store, "marks", prefix):
                if record and int(key.removeprefix(prefix).partition("-")[0]) < record.number:
                    yield key

    def _unmark(self, key: str) -> None:
        stat = self.store.stat(key)
        if stat is not None:
            self.store.delete_if_match(key, stat.version)

    def _read(self, name: str, tag: str) -> tuple[TagRecord | None, str]:
        found = self.store.get(keys.tag(name, tag))
        if found is None:
            return None, ""
        what = f"the tag {name}:{tag} in {self.store.url}"
        fix = "Remove it there, then tag the bundle again"
        record = read_record(found[0], TagRecord, schema=SCHEMA, what=what, fix=fix, error=BundleError)
        if not is_digest(record.digest):
            raise BundleError(f"{what} cannot be read", cause=f"{record.digest[:80]!r} is no digest", fix=fix)
        return record, found[1]


def _next(before: TagRecord | None, digest: str, source: str) -> TagRecord:
    now = datetime.now(UTC)
    move = Move(digest=digest, at=now.isoformat(timespec="seconds"), by=whoami(), source=source)
    number = max(before.number + 1 if before else 0, time.time_ns() // 1_000_000)
    moves = (*before.moves[-KEPT + 1 :], move) if before else (move,)
    return TagRecord(digest=digest, number=number, nonce=secrets.token_hex(4), moves=moves)


def moved(name: str, tag: str) -> TagMovedError:
    """The error for a tag that is not as expected."""
    return TagMovedError(
        f"the tag {name}:{tag} was moved by somebody else meanwhile",
        fix="Look what it names now (mlship list), then repeat the command if you still want it",
    )
