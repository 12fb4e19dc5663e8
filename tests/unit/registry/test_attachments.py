"""Attachments lie beside a bundle, never move its digest, and go with it from registry to registry."""

from __future__ import annotations

from pathlib import Path

import pytest
from sample_bundle import make_bundle

from mlship.bundle.source import Attachment
from mlship.digest import sha256
from mlship.errors import BundleError, RegistryError
from mlship.reference import parse_reference
from mlship.registry.over_store import StoreRegistry, open_folder
from mlship.registry.transfer import copy

TYPE = "application/vnd.example+json"


@pytest.fixture
def registry(tmp_path: Path) -> StoreRegistry:
    return open_folder(f"dir://{tmp_path}/registry")


@pytest.fixture
def other(tmp_path: Path) -> StoreRegistry:
    return open_folder(f"dir://{tmp_path}/other")


def test_what_is_attached_is_found_again(registry: StoreRegistry) -> None:
    digest = make_bundle(registry)
    assert registry.attachments("churn", digest) == []
    kept = registry.attach("churn", digest, TYPE, b"one")
    assert kept == Attachment(TYPE, sha256(b"one"), 3)
    assert registry.attach("churn", digest, TYPE, b"one") == kept
    second = registry.attach("churn", digest, "application/another", b"two")
    assert registry.attachments("churn", digest) == [second, kept]
    assert registry.read_attachment("churn", kept) == b"one"
    assert registry.digests("churn") == [digest]
    assert registry.names() == ["churn"]


def test_an_attachment_belongs_to_one_bundle(registry: StoreRegistry) -> None:
    first, second = make_bundle(registry), make_bundle(registry, version="2.0")
    registry.attach("churn", first, TYPE, b"one")
    assert registry.attachments("churn", second) == []
    with pytest.raises(RegistryError, match="has no churn@"):
        registry.attach("churn", "sha256:" + "0" * 64, TYPE, b"one")
    assert registry.attachments("churn", "sha256:" + "0" * 64) == []


def test_damage_is_told(registry: StoreRegistry, tmp_path: Path) -> None:
    kept = registry.attach("churn", make_bundle(registry), TYPE, b"one")
    file = tmp_path / "registry" / "blobs" / "sha256" / sha256(b"one").partition(":")[2]
    file.chmod(0o644)
    for damaged in (b"two", b"one more", b""):
        file.write_bytes(damaged)
        with pytest.raises(BundleError, match=r"attached to churn in .* is damaged"):
            registry.read_attachment("churn", kept)


def test_a_copy_takes_them_along(registry: StoreRegistry, other: StoreRegistry) -> None:
    digest = make_bundle(registry)
    registry.attach("churn", digest, TYPE, b"one")
    assert copy(registry, other, "churn", digest, tag="1").sent_attachments == 1
    assert other.attachments("churn", digest) == registry.attachments("churn", digest)
    assert copy(registry, other, "churn", digest, tag="1").sent_attachments == 0
    registry.attach("churn", digest, TYPE, b"two")
    again = copy(registry, other, "churn", digest, tag="1")
    assert (again.sent_attachments, again.sent_blobs) == (1, 0)


def test_a_tag_is_set_after_what_is_attached(registry: StoreRegistry, other: StoreRegistry) -> None:
    digest = make_bundle(registry)
    registry.attach("churn", digest, TYPE, b"one")

    class Failing(StoreRegistry):
        def attach(self, name: str, digest: str, media_type: str, data: bytes) -> Attachment:
            assert self.digests(name) == [digest], "the manifest is there before"
            raise RegistryError("no room")

    with pytest.raises(RegistryError, match="no room"):
        copy(registry, Failing(other.store), "churn", digest, tag="1")
    assert other.read_tag("churn", "1") is None
    copy(registry, other, "churn", digest, tag="1")
    assert other.resolve(parse_reference("churn:1")) == digest
