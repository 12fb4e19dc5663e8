"""Reads a whole registry over a Store, names what is not as it should be, and mends it from others.

Only what is bad is fetched again, and nothing is removed before its replacement lies here, whole.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from mlship.bundle.source import Attachment
from mlship.digest import checked, chunks_of
from mlship.errors import MlshipError, RegistryError
from mlship.progress import SILENT, Progress
from mlship.registry import keys
from mlship.registry.over_store import StoreRegistry, record_of
from mlship.registry.protocol import Registry
from mlship.result import Result
from mlship_runtime.bundle.manifest import Descriptor

Fetch = Callable[[Registry], Iterable[bytes]]  # raises MlshipError if the registry has it not, or not whole


class Damage(Result, frozen=True, kw_only=True):
    """Something that is not as it should be: its key in the store, and whether it was mended."""

    key: str
    why: str
    repaired: bool = False


class Report(Result, frozen=True, kw_only=True):
    """What was read, and what is wrong with it."""

    bundles: int
    tags: int
    blobs: int
    bytes: int
    damage: tuple[Damage, ...]

    @property
    def is_clean(self) -> bool:
        return all(damage.repaired for damage in self.damage)


def check(registry: StoreRegistry, sources: Sequence[Registry] = (), progress: Progress = SILENT) -> Report:
    """Read everything. What is bad or missing is fetched from the first of `sources` that has it whole."""
    return _Check(registry, sources, progress).run()


class _Need(NamedTuple):
    """A bundle that needs some content, and how that is had from another registry."""

    by: str
    fetch: Fetch


class _Check:
    def __init__(self, registry: StoreRegistry, sources: Sequence[Registry], progress: Progress) -> None:
        self.registry, self.store = registry, registry.store
        self.sources, self.progress = sources, progress
        self.damage: list[Damage] = []
        self.bytes = 0

    def run(self) -> Report:
        tags = self._tags()
        manifests = sorted({*keys.listed(self.store, "manifests"), *(keys.manifest(*tag) for tag in tags)})
        needed = self._attached() | self._reached(manifests)
        stored = list(keys.listed(self.store, "blobs"))
        self.progress.phase(f"reading {self.registry.url}", len(stored))
        for key in stored:
            digest = f"sha256:{key.rpartition('/')[2]}"
            fetch = needed[digest].fetch if digest in needed else None
            self._look(key, partial(self._read, key, digest), fetch)
            self.progress.advance(1)
        for digest, need in needed.items():
            if self.store.stat(keys.blob(digest)) is None:
                self._note(keys.blob(digest), f"it is missing, and {need.by} needs it", need.fetch)
        self._records()
        return Report(
            bundles=len(manifests),
            tags=len(tags),
            blobs=len(stored),
            bytes=self.bytes,
            damage=tuple(self.damage),
        )

    def _tags(self) -> list[tuple[str, str]]:
        """The bundles that tags name."""
        found = []
        for key in keys.listed(self.store, "tags"):
            _, name, tag = key.split("/")
            try:
                tagged = self.registry.read_tag(name, tag)
            except MlshipError as error:
                self.damage.append(Damage(key=key, why=str(error)))
                continue
            if tagged:
                found.append((name, tagged.digest))
        return found

    def _reached(self, manifests: Sequence[str]) -> dict[str, _Need]:
        """What the manifests need, by digest; damaged ones are mended first."""
        found: dict[str, _Need] = {}
        for key in manifests:
            _, name, digits = key.split("/")
            digest = f"sha256:{digits}"
            fetch = partial(_manifest, name=name, digest=digest)
            self._look(key, partial(self.registry.manifest_at, key), fetch)
            try:
                manifest = self.registry.manifest_at(key)
            except MlshipError:
                continue  # noted above, and not mended
            absent = self._absent(name, digest)
            found |= {
                x.digest: _Need(name, partial(_blob, name=name, blob=x))
                for x in manifest.blobs
                if x.digest not in absent
            }
        return found

    def _absent(self, name: str, digest: str) -> frozenset[str]:
        try:
            return self.registry.absent(name, digest)
        except MlshipError as error:
            self._note(keys.partial(name, digest), str(error), None)
            return frozenset()

    def _attached(self) -> dict[str, _Need]:
        """What the attachments are, by digest."""
        attached = (key.split("/")[1:] for key in keys.listed(self.store, "attachments"))
        return {
            f"sha256:{content}": _Need(name, partial(_attachment, name=name, bundle=digits, content=content))
            for name, digits, content in attached
        }

    def _records(self) -> None:
        """Whether the records of attachments fit their content; that of which is bad is noted already."""
        bad = {damage.key for damage in self.damage if not damage.repaired}
        for key in keys.listed(self.store, "attachments"):
            _, name, digits, content = key.split("/")
            if keys.blob(f"sha256:{content}") not in bad:
                fetch = partial(_record, name=name, bundle=digits, content=content)
                self._look(key, partial(self._read_record, key, name), fetch)

    def _read_record(self, key: str, name: str) -> None:
        attachment = self.registry.attachment_at(key)
        if attachment is not None:  # else removed meanwhile
            self.registry.read_attachment(name, attachment)

    def _read(self, key: str, digest: str) -> None:
        for chunk in checked(self.store.read(key), digest):
            self.bytes += len(chunk)

    def _look(self, key: str, read: Callable[[], object], fetch: Fetch | None) -> None:
        """Read what lies under `key`; if that fails, say so and mend it."""
        try:
            read()
        except MlshipError as error:
            mended = self._note(key, error.what, fetch)
            if mended:
                self._look_again(read)

    def _look_again(self, read: Callable[[], object]) -> None:
        """What was mended last counts as that only if it holds now."""
        try:
            read()
        except MlshipError:
            self.damage[-1] = replace(self.damage[-1], repaired=False)

    def _note(self, key: str, why: str, fetch: Fetch | None) -> bool:
        """Say what is wrong, and mend it if it can be had; whether it was."""
        mended = fetch is not None and any(self._mended(key, fetch, source) for source in self.sources)
        self.damage.append(Damage(key=key, why=why, repaired=mended))
        return mended

    def _mended(self, key: str, fetch: Fetch, source: Registry) -> bool:
        """Replace what lies under `key` by what `source` has."""
        with tempfile.TemporaryDirectory(prefix="mlship-fsck-") as folder:
            copy = Path(folder, "content")
            try:
                with copy.open("wb") as file:
                    file.writelines(fetch(source))
            except MlshipError:
                return False
            before = self.store.stat(key)
            if before is not None:
                self.store.delete_if_match(key, before.version)
            return self.store.write_if_absent(key, chunks_of(copy), copy.stat().st_size)


def _blob(source: Registry, *, name: str, blob: Descriptor) -> Iterable[bytes]:
    return checked(source.read_blob(name, blob.digest, blob.size), blob.digest, blob.size)


def _manifest(source: Registry, *, name: str, digest: str) -> Iterable[bytes]:
    return checked([source.read_manifest(name, digest)], digest)


def _attachment(source: Registry, *, name: str, bundle: str, content: str) -> Iterable[bytes]:
    return [source.read_attachment(name, _listed(source, name, bundle, content))]


def _record(source: Registry, *, name: str, bundle: str, content: str) -> Iterable[bytes]:
    return [record_of(_listed(source, name, bundle, content))]


def _listed(source: Registry, name: str, bundle: str, content: str) -> Attachment:
    """What `source` says of an attachment. Raises RegistryError if it has none such."""
    for attachment in source.attachments(name, f"sha256:{bundle}"):
        if attachment.digest == f"sha256:{content}":
            return attachment
    raise RegistryError(f"{source.url} has nothing like it attached to {name}")
