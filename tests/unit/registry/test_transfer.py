"""Copying between registries: only what is missing, nothing that is damaged, the tag last."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sample_bundle import make_bundle

from mlship.errors import BundleError, RegistryError, TagMovedError
from mlship.progress import Unit
from mlship.reference import parse_reference
from mlship.registry.over_store import StoreRegistry, open_folder
from mlship.registry.transfer import Copied, copy
from mlship_runtime.bundle.manifest import read_manifest


class Streaming:
    """A registry that hides that its blobs are files here, and calls `hook` before each blob."""

    def __init__(self, inner: StoreRegistry) -> None:
        self.inner = inner
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> object:
        if name in ("file_of_blob", "adopt_blob"):
            raise AttributeError(name)
        return getattr(self.inner, name)

    def read_blob(self, name: str, digest: str, size: int) -> Iterator[bytes]:
        self.asked.append(digest)
        return self.inner.read_blob(name, digest, size)


class Counted:
    def __init__(self) -> None:
        self.total: int | None = None
        self.done = 0

    def say(self, text: str) -> None: ...

    def phase(self, name: str, total: int | None = None, *, unit: Unit = "items") -> None:
        self.total, self.done = total, 0

    def advance(self, amount: int = 1) -> None:
        self.done += amount


@pytest.fixture
def source(tmp_path: Path) -> StoreRegistry:
    return open_folder(f"dir://{tmp_path}/source")


@pytest.fixture
def target(tmp_path: Path) -> StoreRegistry:
    return open_folder(f"dir://{tmp_path}/target")


def sizes(registry: StoreRegistry, digest: str) -> dict[str, int]:
    return {blob.digest: blob.size for blob in read_manifest(registry.read_manifest("churn", digest)).blobs}


@pytest.fixture(params=["files", "streams"])
def seen(request: pytest.FixtureRequest, source: StoreRegistry) -> StoreRegistry:
    """The source, once with its files in reach and once as a stream of bytes."""
    return source if request.param == "files" else Streaming(source)  # type: ignore[return-value]


def test_all_then_nothing_then_what_changed(
    seen: StoreRegistry, source: StoreRegistry, target: StoreRegistry
) -> None:
    first = make_bundle(source)
    size, progress = sizes(source, first), Counted()
    done = copy(seen, target, "churn", first, tag="1.0", progress=progress)
    assert done == Copied(
        digest=first, sent_blobs=8, sent_bytes=sum(size.values()), present_blobs=0, present_bytes=0
    )
    assert progress.total == progress.done == sum(size.values())
    assert target.resolve(parse_reference("churn:1.0")) == first
    assert target.read_manifest("churn", first) == source.read_manifest("churn", first)

    again = copy(seen, target, "churn", first, tag="1.0")
    assert (again.sent_blobs, again.present_blobs, again.present_bytes) == (0, 8, sum(size.values()))

    second = make_bundle(source, model=b"another model")
    new = sizes(source, second).keys() - size.keys()
    assert len(new) == 3, "the model, and with it spec and config"
    assert copy(seen, target, "churn", second, tag="1.0").sent_blobs == 3
    assert target.tags("churn") == {"1.0": second}
    assert sorted(target.digests("churn")) == sorted([first, second])


def test_files_are_linked_and_not_copied(source: StoreRegistry, target: StoreRegistry) -> None:
    digest = make_bundle(source)
    copy(source, target, "churn", digest)
    for blob in sizes(source, digest):
        here, there = source.file_of_blob("churn", blob), target.file_of_blob("churn", blob)
        assert here is not None
        assert there is not None
        assert here.samefile(there)


def test_without_a_tag(source: StoreRegistry, target: StoreRegistry) -> None:
    copy(source, target, "churn", make_bundle(source))
    assert target.tags("churn") == {}


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.chmod(0o644)
    file.write_bytes(data)


def cut(file: Path) -> None:
    data = file.read_bytes()
    file.chmod(0o644)
    file.write_bytes(data[:-1])


@pytest.mark.parametrize("damage", [flip, cut, Path.unlink])
@pytest.mark.parametrize("place", range(8))
def test_a_damaged_source_publishes_nothing(
    seen: StoreRegistry, source: StoreRegistry, target: StoreRegistry, damage: object, place: int
) -> None:
    digest = make_bundle(source)
    blob = sorted(sizes(source, digest))[place]
    file = source.file_of_blob("churn", blob)
    assert file is not None
    whole = file.read_bytes()
    damage(file)  # type: ignore[operator]
    with pytest.raises((BundleError, RegistryError)) as caught:
        copy(seen, target, "churn", digest, tag="1.0")
    assert caught.value.exit_code == (5 if damage is Path.unlink else 4)
    assert target.digests("churn") == []
    assert target.tags("churn") == {}
    assert not target.has_blob("churn", blob)
    file.unlink(missing_ok=True)
    file.write_bytes(whole)
    copy(seen, target, "churn", digest, tag="1.0")
    assert target.resolve(parse_reference("churn:1.0")) == digest


def test_what_is_there_is_not_read(source: StoreRegistry, target: StoreRegistry) -> None:
    digest = make_bundle(source)
    copy(source, target, "churn", digest)
    streaming = Streaming(source)
    copy(streaming, target, "churn", digest)  # type: ignore[arg-type]
    assert streaming.asked == []


class Overtaken(Streaming):
    """While the first blob is read, somebody else tags another digest."""

    def __init__(self, inner: StoreRegistry, target: StoreRegistry, digest: str) -> None:
        super().__init__(inner)
        self.target, self.digest = target, digest
        self.first = threading.Lock()

    def read_blob(self, name: str, digest: str, size: int) -> Iterator[bytes]:
        if self.first.acquire(blocking=False):
            before = self.target.read_tag(name, "1.0")
            self.target.set_tag(name, "1.0", self.digest, before)
        return super().read_blob(name, digest, size)


@pytest.mark.parametrize("tagged_before", [False, True])
def test_a_tag_that_moves_meanwhile(
    source: StoreRegistry, target: StoreRegistry, tagged_before: bool
) -> None:
    mine, theirs = make_bundle(source), make_bundle(target, model=b"theirs")
    if tagged_before:
        target.set_tag("churn", "1.0", make_bundle(target, model=b"before"), None)
    overtaken = Overtaken(source, target, theirs)
    with pytest.raises(TagMovedError):
        copy(overtaken, target, "churn", mine, tag="1.0")  # type: ignore[arg-type]
    assert target.resolve(parse_reference("churn:1.0")) == theirs
    assert mine in target.digests("churn"), "the bundle itself has arrived"
    copy(source, target, "churn", mine, tag="1.0")
    assert target.resolve(parse_reference("churn:1.0")) == mine


def test_two_pushes_of_the_same_do_not_quarrel(
    source: StoreRegistry, target: StoreRegistry, tmp_path: Path
) -> None:
    mine = make_bundle(source)
    twin = open_folder(f"dir://{tmp_path}/twin")
    make_bundle(twin)

    class Twin(Streaming):
        def read_blob(self, name: str, digest: str, size: int) -> Iterator[bytes]:
            if not self.asked:
                copy(twin, target, "churn", mine, tag="1.0")
            return super().read_blob(name, digest, size)

    copy(Twin(source), target, "churn", mine, tag="1.0")  # type: ignore[arg-type]
    assert target.tags("churn") == {"1.0": mine}


def test_unknown_digest(source: StoreRegistry, target: StoreRegistry) -> None:
    with pytest.raises(RegistryError, match="it is empty"):
        copy(source, target, "churn", "sha256:" + "0" * 64)
