"""How writers and a collection keep out of each other's way, by nothing but conditional writes.

A writer first says what it needs (an intent), then looks whether a collection is about to remove any of it.
A collection first says what it wants to remove (its record), then looks for intents. Whichever order the two
take, at least one sees the other: a writer takes its things out of a record that is `marking`, and waits for
one that is `deleting`; a collection leaves alone what an intent names.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from typing import Literal

from msgspec.structs import replace

from mlship.errors import RegistryError
from mlship.registry import keys
from mlship.result import Result, to_json
from mlship.store.protocol import Store
from mlship.store.records import read_record, whoami

SCHEMA = 1
LASTS = timedelta(hours=24)  # after which nobody is thought to be writing any more
PATIENCE = 60.0  # seconds without a sign of life after which a collection counts as killed
_PAUSE = 0.2


class Intent(Result, frozen=True, kw_only=True):
    """What somebody is writing: keys that must stay."""

    by: str
    at: datetime
    needs: tuple[str, ...]
    schema_version: int = SCHEMA


class Removal(Result, frozen=True, kw_only=True):
    """What a collection removes. `beat` grows while its owner lives."""

    state: Literal["marking", "deleting"]
    by: str
    owner: str
    beat: int
    doomed: tuple[str, ...]
    schema_version: int = SCHEMA


@contextlib.contextmanager
def announced(store: Store, needs: Collection[str]) -> Iterator[None]:
    """While this lasts no collection removes the keys `needs`. Raises RegistryError if one that does so
    already does not come to its end."""
    key = keys.INTENTS + secrets.token_hex(16)
    intent = Intent(by=whoami(), at=datetime.now(UTC), needs=tuple(sorted(needs)))
    version = store.write_if_match(key, to_json(intent), None)
    try:
        stand_clear(store, needs)
        yield
    finally:
        if version is not None:
            store.delete_if_match(key, version)


def stand_clear(store: Store, needs: Collection[str]) -> None:
    """Take `needs` out of a collection that is marking them, or wait until it has removed them."""
    watch = Watch()
    while True:
        removal, version = read_removal(store)
        if removal is None or not set(needs) & set(removal.doomed):
            return
        if removal.state == "marking":
            left = tuple(key for key in removal.doomed if key not in needs)
            if store.write_if_match(keys.COLLECTION, to_json(replace(removal, doomed=left)), version):
                return
            continue
        if watch.is_dead(removal):
            raise RegistryError(
                f"a collection in {store.url} by {removal.by} was broken off", fix="Finish it: mlship gc"
            )
        time.sleep(_PAUSE)


class Watch:
    """Tells whether a collection that somebody else runs goes on, by this process's clock alone."""

    def __init__(self) -> None:
        self._seen: tuple[str, int] | None = None
        self._since = time.monotonic()

    def is_dead(self, removal: Removal) -> bool:
        now = (removal.owner, removal.beat)
        if now != self._seen:
            self._seen, self._since = now, time.monotonic()
        return time.monotonic() - self._since > PATIENCE


def read_removal(store: Store) -> tuple[Removal | None, str]:
    """What a collection removes now, and the version of its record; None if there is no collection."""
    found = store.get(keys.COLLECTION)
    if found is None:
        return None, ""
    what, fix = f"the record of a collection in {store.url}", f"Remove {keys.COLLECTION} there if none runs"
    return read_record(found[0], Removal, schema=SCHEMA, what=what, fix=fix, error=RegistryError), found[1]


def needed(store: Store) -> set[str]:
    """The keys that somebody is writing. Intents that are a day old are removed."""
    found: set[str] = set()
    for key in store.list(keys.INTENTS):
        got = store.get(key)
        if got is None:
            continue
        fix = f"Remove {key} there if nobody writes"
        intent = read_record(
            got[0], Intent, schema=SCHEMA, what=f"{key} in {store.url}", fix=fix, error=RegistryError
        )
        if datetime.now(UTC) - intent.at > LASTS:
            store.delete_if_match(key, got[1])
        else:
            found.update(intent.needs)
    return found
