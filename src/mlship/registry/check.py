"""Reads a whole registry over a Store, names what is not as it should be, and mends it from others.

Only what is bad is fetched again, and nothing is removed before its replacement lies here, whole.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from mlship.bundle.fault import as_bundle_error
from mlship.digest import checked, chunks_of
from mlship.errors import MlshipError
from mlship.progress import SILENT, Progress
from mlship.registry import keys
from mlship.registry.over_store import StoreRegistry
from mlship.registry.protocol import Registry
from mlship.result import Result
from mlship_runtime.bundle.manifest import Descriptor, read_manifest


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


class _Check:
    def __init__(self, registry: StoreRegistry, sources: Sequence[Registry], progress: Progress) -> None:
        self.registry, self.store = registry, registry.store
        self.sources, self.progress = sources, progress
        self.damage: list[Damage] = []
        self.bytes = 0

    def run(self) -> Report:
        tags = self._tags()
        manifests = sorted({*self.store.list("manifests/"), *(keys.manifest(*tag) for tag in tags)})
        blobs = self._reached(manifests)
        stored = list(self.store.list("blobs/"))
        self.progress.phase(f"reading {self.registry.url}", len(stored))
        for key in stored:
            digest = f"sha256:{key.rpartition('/')[2]}"
            self._look(key, partial(self._read, key, digest), *blobs.get(digest, ()))
            self.progress.advance(1)
        for digest, (name, blob) in blobs.items():
            if self.store.stat(keys.blob(digest)) is None:
                self._note(keys.blob(digest), f"it is missing, and {name} needs it", name, blob)
        self._attachments()
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
        for key in self.store.list("tags/"):
            _, name, tag = key.split("/")
            try:
                tagged = self.registry.read_tag(name, tag)
            except MlshipError as error:
                self.damage.append(Damage(key=key, why=str(error)))
                continue
            if tagged:
                found.append((name, tagged.digest))
        return found

    def _reached(self, manifests: Sequence[str]) -> dict[str, tuple[str, Descriptor]]:
        """What the manifests need, by digest, each with one bundle that needs it; damaged ones are mended
        first."""
        found: dict[str, tuple[str, Descriptor]] = {}
        for key in manifests:
            _, name, digits = key.split("/")
            digest = f"sha256:{digits}"
            self._look(key, partial(self.registry.read_manifest, name, digest), name)
            try:
                with as_bundle_error():
                    manifest = read_manifest(self.registry.read_manifest(name, digest))
            except MlshipError:
                continue  # noted above, and not mended
            absent = self.registry.absent(name, digest)
            found.update({x.digest: (name, x) for x in manifest.blobs if x.digest not in absent})
        return found

    def _attachments(self) -> None:
        for key in self.store.list("attachments/"):
            _, name, digits, _ = key.split("/")
            self._look(key, partial(self._read_attachments, name, f"sha256:{digits}"))

    def _read_attachments(self, name: str, digest: str) -> None:
        for attachment in self.registry.attachments(name, digest):
            self.registry.read_attachment(name, attachment)

    def _read(self, key: str, digest: str) -> None:
        for chunk in checked(self.store.read(key), digest):
            self.bytes += len(chunk)

    def _look(
        self, key: str, read: Callable[[], object], name: str = "", blob: Descriptor | None = None
    ) -> None:
        """Read what lies under `key`; if that fails, say so and mend it."""
        try:
            read()
        except MlshipError as error:
            self._note(key, error.what, name, blob)

    def _note(self, key: str, why: str, name: str, blob: Descriptor | None) -> None:
        repaired = bool(name) and any(self._mended(source, key, name, blob) for source in self.sources)
        self.damage.append(Damage(key=key, why=why, repaired=repaired))

    def _mended(self, source: Registry, key: str, name: str, blob: Descriptor | None) -> bool:
        """Replace what lies under `key` by what `source` has."""
        with tempfile.TemporaryDirectory(prefix="mlship-fsck-") as folder:
            copy = Path(folder, "content")
            try:
                with copy.open("wb") as file:
                    file.writelines(_content(source, key, name, blob))
            except MlshipError:
                return False
            before = self.store.stat(key)
            if before is not None:
                self.store.delete_if_match(key, before.version)
            return self.store.write_if_absent(key, chunks_of(copy), copy.stat().st_size)


def _content(source: Registry, key: str, name: str, blob: Descriptor | None) -> Iterator[bytes]:
    if blob is not None:
        yield from checked(source.read_blob(name, blob.digest, blob.size), blob.digest, blob.size)
    else:
        digest = f"sha256:{key.rpartition('/')[2]}"
        data = source.read_manifest(name, digest)
        yield from checked([data], digest)
