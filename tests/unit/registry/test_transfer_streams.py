"""Several blobs on their way at once: what is counted, what a failure stops, and what is left at the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sample_bundle import make_bundle

from mlship.errors import BundleError, RegistryError
from mlship.progress import Progress, Silent, Unit
from mlship.registry.flow import AT_ONCE, Flow
from mlship.registry.over_store import StoreRegistry, open_folder
from mlship.registry.transfer import _absent, _copy_blobs, copy
from mlship.store.protocol import Store
from mlship_runtime.bundle.manifest import Descriptor, read_manifest


class Far(StoreRegistry):
    """A registry whose blobs are no files; `fails` is the blob at which it breaks."""

    def __init__(self, inner: StoreRegistry) -> None:
        super().__init__(inner.store)
        self.fails, self.together, self.most = "", 0, 0
        self.lock = threading.Lock()

    def file_of_blob(self, name: str, digest: str) -> Path | None:
        return None

    def write_blob(self, name: str, digest: str, size: int, chunks: Iterable[bytes]) -> bool:
        with self.lock:
            self.together += 1
            self.most = max(self.most, self.together)
        try:
            time.sleep(0.05)
            if digest == self.fails:
                raise RegistryError("no room")
            return super().write_blob(name, digest, size, chunks)
        finally:
            with self.lock:
                self.together -= 1


class Counted(Silent):
    def __init__(self) -> None:
        self.total: int | None = 0
        self.done = 0

    def phase(self, name: str, total: int | None = None, *, unit: Unit = "items") -> None:
        self.total = total

    def advance(self, amount: int = 1) -> None:
        self.done += amount


@pytest.fixture
def source(tmp_path: Path) -> StoreRegistry:
    return Far(open_folder(f"dir://{tmp_path}/source"))


@pytest.fixture
def far(tmp_path: Path) -> Far:
    return Far(open_folder(f"dir://{tmp_path}/far"))


@pytest.fixture
def blobs(source: StoreRegistry) -> list[Descriptor]:
    return [*read_manifest(source.read_manifest("churn", make_bundle(source))).blobs]


def copy_blobs(
    source: StoreRegistry, to: StoreRegistry, name: str, blobs: list[Descriptor], progress: Progress
) -> list[Descriptor]:
    return _copy_blobs(source, to, name, blobs, Flow(progress))


def lacking(registry: StoreRegistry, name: str, blobs: list[Descriptor]) -> list[Descriptor]:
    return _absent(registry, name, blobs, Flow())


def test_a_few_at_once_and_all_counted(source: StoreRegistry, far: Far, blobs: list[Descriptor]) -> None:
    counted = Counted()
    sent = copy_blobs(source, far, "churn", blobs, counted)
    assert {blob.digest for blob in sent} == {blob.digest for blob in blobs}
    assert far.most == AT_ONCE
    assert counted.done == counted.total == sum(blob.size for blob in blobs)
    assert lacking(far, "churn", blobs) == []


def test_a_failure_ends_it(source: StoreRegistry, far: Far, blobs: list[Descriptor]) -> None:
    far.fails = max(blobs, key=lambda blob: blob.size).digest
    with pytest.raises(RegistryError, match="no room"):
        copy_blobs(source, far, "churn", blobs, Silent())
    missing = {blob.digest for blob in lacking(far, "churn", blobs)}
    assert far.fails in missing
    assert len(missing) > 2, "the rest was sent all the same"


def test_damage_is_told_with_its_place(source: Far, far: Far, blobs: list[Descriptor]) -> None:
    victim = blobs[1]
    file = source.store.file_of(f"blobs/sha256/{victim.digest[7:]}")  # type: ignore[attr-defined]
    file.chmod(0o644)
    file.write_bytes(b"x" * victim.size)
    with pytest.raises(BundleError, match=f"{victim.title} in dir://.*/source is damaged"):
        copy_blobs(source, far, "churn", blobs, Silent())
    assert not far.has_blob("churn", victim.digest)


def test_what_is_sent_again_is_counted_once(source: StoreRegistry, far: Far, blobs: list[Descriptor]) -> None:
    class Twice(Far):
        def write_blob(self, name: str, digest: str, size: int, chunks: Iterable[bytes]) -> bool:
            for _ in chunks:
                continue
            return super().write_blob(name, digest, size, chunks)

    counted = Counted()
    copy_blobs(source, Twice(far), "churn", blobs, counted)
    assert counted.done == counted.total


def test_ctrl_c_gets_through(source: StoreRegistry, far: Far, blobs: list[Descriptor]) -> None:
    class Endless(Far):
        def read_blob(self, name: str, digest: str, size: int) -> Iterator[bytes]:
            while True:
                time.sleep(0.01)
                yield b""

    class Interrupted(Counted):
        def advance(self, amount: int = 1) -> None:
            if threading.current_thread() is not threading.main_thread() and not self.done:
                self.done = 1
                import _thread

                _thread.interrupt_main()

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        copy_blobs(Endless(source), far, "churn", blobs, Interrupted())
    assert time.monotonic() - began < 5
    end = time.monotonic() + 5
    while far.together:  # the threads see that it is over
        assert time.monotonic() < end
        time.sleep(0.02)
    assert lacking(far, "churn", blobs) == blobs


class Phases(Silent):
    """Each phase with its total, and in which steps the last of them came on."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int | None, Unit]] = []
        self.steps: list[int] = []

    def phase(self, name: str, total: int | None = None, *, unit: Unit = "items") -> None:
        self.seen.append((name, total, unit))
        self.steps = []

    def advance(self, amount: int = 1) -> None:
        self.steps.append(amount)


class Elsewhere:
    """A store that is no folder of this machine, for all that one can tell."""

    def __init__(self, inner: Store) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def test_the_phases_of_a_copy(tmp_path: Path) -> None:
    source, near = open_folder(f"dir://{tmp_path}/one"), open_folder(f"dir://{tmp_path}/two")
    far = StoreRegistry(Elsewhere(open_folder(f"dir://{tmp_path}/three").store))  # type: ignore[arg-type]
    digest = make_bundle(source)
    manifest = read_manifest(source.read_manifest("churn", digest))
    count, total = len(manifest.blobs), sum(blob.size for blob in manifest.blobs)
    for destination, doing in ((near, "hashing churn"), (far, "sending churn")):
        progress = Phases()
        copy(source, destination, "churn", digest, progress=progress)
        assert progress.seen == [("checking churn", count, "items"), (doing, total, "bytes")]
        assert sum(progress.steps) == total
        again = Phases()
        copy(source, destination, "churn", digest, progress=again)
        assert (again.seen, again.steps) == ([("checking churn", count, "items")], [1] * count)


def test_what_goes_to_a_store_elsewhere_keeps_to_the_rate(tmp_path: Path) -> None:
    """Also out of a folder, whose files another folder would take as they are."""
    source = open_folder(f"dir://{tmp_path}/one")
    far = StoreRegistry(Elsewhere(open_folder(f"dir://{tmp_path}/two").store))  # type: ignore[arg-type]
    digest = make_bundle(source, model=b"m" * 40_000)
    began = time.monotonic()
    copy(source, far, "churn", digest, rate=80_000)
    assert time.monotonic() - began > 0.25  # each piece waits for those before it
