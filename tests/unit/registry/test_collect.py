"""Collecting: what no tag reaches goes, what a tag reaches or somebody writes stays."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sample_bundle import make_bundle
from sample_kills import check_everything_published

from mlship.digest import sha256
from mlship.errors import BundleError, LockedError, RegistryError
from mlship.registry import collect as collecting
from mlship.registry import intents, keys
from mlship.registry.collect import collect, preview
from mlship.registry.over_store import StoreRegistry, open_folder
from mlship.registry.transfer import copy
from mlship.result import to_json
from mlship_runtime.bundle.manifest import read_manifest


@pytest.fixture
def registry(tmp_path: Path) -> StoreRegistry:
    return open_folder(f"dir://{tmp_path}/registry")


def everything(registry: StoreRegistry) -> list[str]:
    return list(registry.store.list(""))


def test_nothing_to_do(registry: StoreRegistry) -> None:
    assert collect(registry).bundles == ()
    registry.set_tag("churn", "1", make_bundle(registry), None)
    before = everything(registry)
    assert (collect(registry).bundles, collect(registry).blobs) == ((), 0)
    assert everything(registry) == before


def test_what_no_tag_names_goes_with_all_it_had(registry: StoreRegistry) -> None:
    kept, gone = make_bundle(registry), make_bundle(registry, model=b"old")
    registry.set_tag("churn", "1", kept, None)
    registry.attach("churn", gone, "application/x", b"of the old one")
    attached = registry.attach("churn", kept, "application/x", b"of the kept one")
    only = {b.digest for b in read_manifest(registry.read_manifest("churn", gone)).blobs}
    only -= {b.digest for b in read_manifest(registry.read_manifest("churn", kept)).blobs}
    said = preview(registry)
    assert said.bundles == (f"churn@{gone}",)
    assert said.blobs == len(only) + 1
    assert collect(registry) == said
    assert registry.digests("churn") == [kept]
    assert not any(registry.has_blob("churn", digest) for digest in only)
    assert registry.attachments("churn", kept) == [attached]
    check_everything_published(registry)
    assert preview(registry).blobs == 0


def test_untagged_bundles_can_be_kept(registry: StoreRegistry) -> None:
    digest = make_bundle(registry)
    stray = b"left by a broken push"
    registry.write_blob("churn", sha256(stray), len(stray), [stray])
    said = collect(registry, keep_untagged=True)
    assert (said.bundles, said.blobs, said.bytes) == ((), 1, len(stray))
    assert registry.digests("churn") == [digest]
    check_everything_published(registry)


def test_what_somebody_writes_stays(registry: StoreRegistry) -> None:
    digest = make_bundle(registry)
    blobs = [blob.digest for blob in read_manifest(registry.read_manifest("churn", digest)).blobs]
    with registry.announced("churn", digest, blobs):
        assert collect(registry).bundles == ()
    check_everything_published(registry)
    assert collect(registry).bundles == (f"churn@{digest}",)


def test_an_intent_of_yesterday_holds_nothing_up(registry: StoreRegistry) -> None:
    digest = make_bundle(registry)
    old = intents.Intent(
        by="x@y", at=datetime.now(UTC) - timedelta(hours=25), needs=(keys.manifest("churn", digest),)
    )
    registry.store.write_if_match("intents/old", to_json(old), None)
    assert collect(registry).bundles == (f"churn@{digest}",)
    assert everything(registry) == []


def test_a_damaged_manifest_stops_it(registry: StoreRegistry) -> None:
    digest = make_bundle(registry)
    registry.set_tag("churn", "1", digest, None)
    file = Path(registry.url.removeprefix("dir://"), keys.manifest("churn", digest))
    file.chmod(0o600)
    file.write_bytes(b"{}")
    with pytest.raises(BundleError, match="is not what its digest says"):
        collect(registry)


@pytest.fixture
def at_step(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[[], None]], None]:
    """Do something while a collection is between two of its steps."""

    def hook(step: str, work: Callable[[], None]) -> None:
        real, done = getattr(collecting, step), []

        def first(*args: Any, **more: Any) -> Any:
            if not done:
                done.append(True)
                work()
            return real(*args, **more)

        monkeypatch.setattr(collecting, step, first)

    return hook


def test_a_push_after_marking_takes_its_content_out(registry: StoreRegistry, tmp_path: Path, at_step) -> None:
    source = open_folder(f"dir://{tmp_path}/source")
    digest = make_bundle(source)
    copy(source, registry, "churn", digest)  # without a tag: garbage
    at_step("_agreed", lambda: copy(source, registry, "churn", digest, tag="1.0") and None)
    assert collect(registry).bundles == ()
    assert registry.tags("churn") == {"1.0": digest}
    check_everything_published(registry)


def test_what_is_tagged_before_it_is_marked_stays(registry: StoreRegistry, at_step) -> None:
    digest = make_bundle(registry)  # without a tag: garbage
    at_step("_collect_some", lambda: registry.set_tag("churn", "1.0", digest, None) and None)
    done = collect(registry)
    assert (done.bundles, done.blobs) == ((), 0)
    assert registry.tags("churn") == {"1.0": digest}
    check_everything_published(registry)


def test_a_push_while_deleting_waits_and_sends_again(
    registry: StoreRegistry, tmp_path: Path, at_step
) -> None:
    source = open_folder(f"dir://{tmp_path}/source")
    digest = make_bundle(source)
    copy(source, registry, "churn", digest)
    push = threading.Thread(target=lambda: copy(source, registry, "churn", digest, tag="1.0"))
    at_step("_delete", push.start)
    assert collect(registry).bundles == (f"churn@{digest}",)
    push.join()
    assert registry.tags("churn") == {"1.0": digest}
    check_everything_published(registry)


def test_a_tag_while_deleting_is_refused(registry: StoreRegistry, at_step) -> None:
    digest = make_bundle(registry)
    errors: list[Exception] = []

    def tag() -> None:
        try:
            registry.set_tag("churn", "1.0", digest, None)
        except RegistryError as error:
            errors.append(error)

    tagging = threading.Thread(target=tag)
    at_step("_delete", tagging.start)
    collect(registry)
    tagging.join()
    assert len(errors) == 1
    assert registry.tags("churn") == {}


def test_a_broken_off_collection_is_finished(
    registry: StoreRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = make_bundle(registry)
    with monkeypatch.context() as broken:
        broken.setattr(collecting, "_remove", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            collect(registry)
    assert intents.read_removal(registry.store)[0] is not None
    monkeypatch.setattr(intents, "PATIENCE", 0.3)
    with pytest.raises(RegistryError, match="was broken off"):
        registry.attach("churn", digest, "application/x", b"x")
    collect(registry)
    assert everything(registry) == []


def test_one_collection_at_a_time(registry: StoreRegistry, at_step) -> None:
    make_bundle(registry)
    errors: list[Exception] = []

    def other() -> None:
        removal = intents.Removal(state="marking", by="x@y", owner="1", beat=0, doomed=())
        registry.store.write_if_match(keys.COLLECTION, to_json(removal), None)

    at_step("garbage", other)
    try:
        collect(registry)
    except LockedError as error:
        errors.append(error)
    assert "is being collected by x@y" in str(errors[0])
