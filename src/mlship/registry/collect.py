"""Removes from a registry over a Store what no tag reaches, while others write to it.

Marked first, looked at again, then removed: see intents.py for why nothing is lost. Killed anywhere, the next
collection finishes what was being removed.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence

from msgspec.structs import replace

from mlship.errors import LockedError
from mlship.progress import SILENT, Progress
from mlship.registry import keys
from mlship.registry.intents import Removal, Watch, needed, read_removal
from mlship.registry.over_store import StoreRegistry
from mlship.result import Result, to_json
from mlship.store.protocol import Store, settle
from mlship.store.records import whoami

BATCH = 4000  # keys of one record
_BEAT = 10.0  # seconds between signs of life, far below what others wait for one
_PAUSE = 0.2


class Collected(Result, frozen=True, kw_only=True):
    """What was removed, or would be: bundles as NAME@DIGEST, blobs and their bytes."""

    bundles: tuple[str, ...]
    blobs: int
    bytes: int


def garbage(registry: StoreRegistry, *, keep_untagged: bool = False) -> list[str]:
    """The keys that nothing reaches, manifests first. Raises BundleError for a manifest that cannot be read,
    for then nobody knows what it reaches.

    Intents are read before tags, and tags before manifests: what a writer has finished between is seen.
    """
    store = registry.store
    kept = needed(store) | {keys.manifest(name, digest) for name, digest in registry.named.all_named()}
    manifests = list(keys.listed(store, "manifests"))
    if keep_untagged:
        kept.update(manifests)
    for key in manifests:
        if key in kept:
            kept |= _reached(registry, key)
    found = [key for key in manifests if key not in kept]
    gone = {key.removeprefix("manifests/") for key in found}
    found += [key for key in keys.listed(store, "partial") if key.removeprefix("partial/") in gone]
    for key in keys.listed(store, "attachments"):
        bundle, _, content = key.removeprefix("attachments/").rpartition("/")
        if bundle in gone:
            found.append(key)
        else:
            kept.add(keys.blob(f"sha256:{content}"))
    return found + [key for key in keys.listed(store, "blobs") if key not in kept]


def preview(registry: StoreRegistry, *, keep_untagged: bool = False) -> Collected:
    """What `collect` would remove now."""
    return _said(registry.store, garbage(registry, keep_untagged=keep_untagged))


def collect(
    registry: StoreRegistry, *, keep_untagged: bool = False, progress: Progress = SILENT
) -> Collected:
    """Remove what nothing reaches. Raises LockedError if somebody else collects, too."""
    store = registry.store
    _finish_broken(store, progress)
    for mark in list(registry.named.stale_marks()):
        _remove(store, mark)
    doomed = garbage(registry, keep_untagged=keep_untagged)
    progress.phase("removing", len(doomed))
    done = [
        _collect_some(registry, doomed[start : start + BATCH], keep_untagged, progress)
        for start in range(0, len(doomed), BATCH)
    ]
    return Collected(
        bundles=tuple(bundle for part in done for bundle in part.bundles),
        blobs=sum(part.blobs for part in done),
        bytes=sum(part.bytes for part in done),
    )


def _collect_some(
    registry: StoreRegistry, doomed: Sequence[str], keep_untagged: bool, progress: Progress
) -> Collected:
    store = registry.store
    removal = Removal(state="marking", by=whoami(), owner=secrets.token_hex(8), beat=0, doomed=tuple(doomed))
    version = store.write_if_match(keys.COLLECTION, to_json(removal), None)
    if version is None:
        raise _locked(store)
    removal, version = _agreed(registry, removal, version, keep_untagged)
    said = _said(store, removal.doomed)
    _delete(store, removal, version, progress)
    return said


def _agreed(
    registry: StoreRegistry, removal: Removal, version: str, keep_untagged: bool
) -> tuple[Removal, str]:
    """The record as `deleting`, without what writers took out of it or have begun to need."""
    store = registry.store
    while True:
        still = set(garbage(registry, keep_untagged=keep_untagged))
        doomed = tuple(key for key in removal.doomed if key in still)
        agreed = replace(removal, state="deleting", beat=removal.beat + 1, doomed=doomed)
        new = store.write_if_match(keys.COLLECTION, to_json(agreed), version)
        if new is not None:
            return agreed, new
        now, version = read_removal(store)
        if now is None or now.owner != removal.owner:
            raise _locked(store)
        removal = now


def _delete(store: Store, removal: Removal, version: str, progress: Progress) -> None:
    """Remove what a record says, then the record. Raises LockedError if somebody else has taken it over."""
    beaten = time.monotonic()
    for key in removal.doomed:
        if time.monotonic() - beaten > _BEAT:
            removal = replace(removal, beat=removal.beat + 1)
            renewed = store.write_if_match(keys.COLLECTION, to_json(removal), version)
            if renewed is None:
                raise _locked(store)
            version, beaten = renewed, time.monotonic()
        _remove(store, key)
        progress.advance(1)
    store.delete_if_match(keys.COLLECTION, version)


def _finish_broken(store: Store, progress: Progress) -> None:
    """Wait for another collection; of one that was killed, finish the removal or drop what was marked."""
    watch, said = Watch(), False
    while True:
        removal, version = read_removal(store)
        if removal is None:
            return
        if not said:
            progress.say(f"{removal.by} collects, or was broken off: waiting for a sign of life")
            said = True
        if watch.is_dead(removal):
            doomed = removal.doomed if removal.state == "deleting" else ()
            mine = replace(removal, by=whoami(), owner=secrets.token_hex(8), doomed=doomed)
            taken = store.write_if_match(keys.COLLECTION, to_json(mine), version)
            if taken is not None:
                _delete(store, mine, taken, SILENT)
                return
        time.sleep(_PAUSE)


def _reached(registry: StoreRegistry, key: str) -> set[str]:
    return {keys.blob(blob.digest) for blob in registry.manifest_at(key).blobs}


def _remove(store: Store, key: str) -> None:
    stat = store.stat(key)
    if stat is not None:
        store.delete_if_match(key, stat.version)
    else:  # perhaps by somebody who was killed right after, and what comes next relies on it
        settle(store, [key])


def _said(store: Store, doomed: Sequence[str]) -> Collected:
    manifests = [key.split("/") for key in doomed if key.startswith("manifests/")]
    stats = [store.stat(key) for key in doomed if key.startswith("blobs/")]
    return Collected(
        bundles=tuple(f"{name}@sha256:{digits}" for _, name, digits in manifests),
        blobs=len(stats),
        bytes=sum(stat.size for stat in stats if stat),
    )


def _locked(store: Store) -> LockedError:
    removal, _ = read_removal(store)
    who = f" by {removal.by}" if removal else ""
    return LockedError(f"{store.url} is being collected{who}", fix="Try again when that has ended")
