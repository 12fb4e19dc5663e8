"""A registry over a folder: digests that are whole or absent, tags that move by compare-and-set."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sample_bundle import make_bundle

from mlship.bundle.source import HasFiles
from mlship.digest import sha256
from mlship.errors import BundleError, RegistryError, TagMovedError
from mlship.reference import Reference, parse_reference
from mlship.registry.over_store import StoreRegistry, open_folder
from mlship.registry.protocol import Registry, TakesFiles
from mlship_runtime.bundle.manifest import read_manifest

NOWHERE = "sha256:" + "0" * 64


@pytest.fixture
def registry(tmp_path: Path) -> StoreRegistry:
    return open_folder(f"dir://{tmp_path}/registry")


def file_of(registry: StoreRegistry, key: str) -> Path:
    return Path(registry.url.removeprefix("dir://"), key)


def test_it_is_a_registry(registry: StoreRegistry) -> None:
    typed: Registry = registry
    assert isinstance(typed, HasFiles)
    assert isinstance(typed, TakesFiles)


def test_empty(registry: StoreRegistry) -> None:
    assert registry.names() == []
    assert registry.tags("churn") == {}
    assert registry.digests("churn") == []
    assert registry.read_tag("churn", "1") is None
    with pytest.raises(RegistryError, match="it is empty"):
        registry.resolve(Reference("churn"))
    assert not file_of(registry, "").exists()


def test_published(registry: StoreRegistry) -> None:
    digest = make_bundle(registry)
    assert registry.names() == ["churn"]
    assert registry.digests("churn") == [digest]
    assert registry.tags("churn") == {}
    assert registry.resolve(Reference("churn", digest=digest)) == digest
    data = registry.read_manifest("churn", digest)
    assert sha256(data) == digest
    for blob in read_manifest(data).blobs:
        assert registry.has_blob("churn", blob.digest)
        assert sha256(b"".join(registry.read_blob("churn", blob.digest, blob.size))) == blob.digest
    assert registry.write_manifest("churn", data) == digest


def test_tags(registry: StoreRegistry) -> None:
    first, second = make_bundle(registry), make_bundle(registry, model=b"another")
    one = registry.set_tag("churn", "1", first, None)
    assert registry.read_tag("churn", "1") == one
    assert registry.resolve(parse_reference("churn:1")) == first
    two = registry.set_tag("churn", "1", second, one)
    assert registry.resolve(parse_reference("churn:1")) == second
    for expected in (None, one):
        with pytest.raises(TagMovedError, match="churn:1 was moved by somebody else") as caught:
            registry.set_tag("churn", "1", first, expected)
        assert caught.value.exit_code == 5
    registry.set_tag("churn", "latest", first, None)
    assert registry.resolve(Reference("churn")) == first
    assert registry.tags("churn") == {"1": second, "latest": first}
    with pytest.raises(TagMovedError):
        registry.delete_tag("churn", "1", one)
    registry.delete_tag("churn", "1", two)
    assert registry.tags("churn") == {"latest": first}


def test_form_of_a_tag(registry: StoreRegistry) -> None:
    digest = make_bundle(registry)
    registry.set_tag("churn", "1", digest, None, source="build")
    record = json.loads(file_of(registry, "tags/churn/1").read_text())
    assert sorted(record) == ["digest", "moves", "nonce", "number", "schemaVersion"]
    assert (record["digest"], record["schemaVersion"]) == (digest, 1)
    (move,) = record["moves"]
    assert sorted(move) == ["at", "by", "digest", "source"]
    (mark,) = file_of(registry, "marks/churn/1").iterdir()
    assert mark.name == f"{record['number']:013}-{record['nonce']}-{digest[7:]}"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"digest":"x","number":1,"nonce":"","moves":[],"schemaVersion":1}', "'x' is no digest"),
        ('{"digest":"x","schemaVersion":1}', "missing required field"),
        ('{"schemaVersion":2}', "made by a newer mlship"),
        ("[]", "Expected `object`"),
        ("", "cannot be read"),
    ],
)
def test_damaged_tag(registry: StoreRegistry, text: str, why: str) -> None:
    registry.store.write_if_match("tags/churn/1", text.encode(), None)
    with pytest.raises(BundleError, match=why):
        registry.resolve(parse_reference("churn:1"))


def test_a_tag_needs_a_manifest(registry: StoreRegistry) -> None:
    with pytest.raises(RegistryError, match="it is empty"):
        registry.set_tag("churn", "1", NOWHERE, None)
    assert registry.tags("churn") == {}


def test_what_there_is_instead(registry: StoreRegistry) -> None:
    digest = make_bundle(registry)

    def said(text: str) -> str:
        with pytest.raises(RegistryError) as caught:
            registry.resolve(parse_reference(text))
        return str(caught.value).replace(registry.url, "HERE")

    short = f"{digest[:19]}…"
    assert said("churn:1.0") == f"HERE has no churn:1.0: it has no tags, only {short}"
    registry.set_tag("churn", "1.0", digest, None)
    registry.set_tag("churn", "prod", digest, None)
    assert said("churn:1.1") == "HERE has no churn:1.1: its tags are 1.0, prod. Did you mean 1.0?"
    assert said("churn") == "HERE has no churn:latest: its tags are 1.0, prod"
    assert said("chrun:1.0") == "HERE has no bundle chrun: it has churn. Did you mean churn?"
    assert said("fraud:1.0") == "HERE has no bundle fraud: it has churn. Push it there first"
    assert said(f"churn@{NOWHERE}") == f"HERE has no churn@sha256:000000000000…: it has {short}"
    for number in range(20):
        registry.set_tag("churn", f"x{number:02}", digest, None)
    assert "x04, x05 and 14 more" in said("churn:none")


def test_a_manifest_with_a_blob_missing_is_not_published(registry: StoreRegistry, tmp_path: Path) -> None:
    elsewhere = open_folder(f"dir://{tmp_path}/elsewhere")
    digest = make_bundle(elsewhere)
    data = elsewhere.read_manifest("churn", digest)
    manifest = read_manifest(data)
    for left_out in manifest.blobs:
        target = open_folder(f"dir://{tmp_path}/{left_out.digest[-8:]}")
        for blob in manifest.blobs:
            if blob is not left_out:
                content = elsewhere.read_blob("churn", blob.digest, blob.size)
                target.write_blob("churn", blob.digest, blob.size, content)
        with pytest.raises(RegistryError, match=f"its blob {left_out.title or 'config'} .*is not there"):
            target.write_manifest("churn", data)
        assert target.digests("churn") == []


def test_a_blob_of_another_size_stops_publishing(registry: StoreRegistry) -> None:
    digest = make_bundle(registry)
    data = registry.read_manifest("churn", digest)
    blob = file_of(registry, f"blobs/sha256/{read_manifest(data).layers[0].digest[7:]}")
    blob.chmod(0o644)
    blob.write_bytes(b"short")
    with pytest.raises(BundleError, match="has 5 bytes and not"):
        registry.write_manifest("churn", data)


def test_what_is_no_manifest_is_not_published(registry: StoreRegistry) -> None:
    with pytest.raises(BundleError, match="the manifest"):
        registry.write_manifest("churn", b"{}")
    assert registry.digests("churn") == []


def test_damaged_manifest(registry: StoreRegistry) -> None:
    digest = make_bundle(registry)
    file = file_of(registry, f"manifests/churn/{digest[7:]}")
    file.chmod(0o644)
    file.write_bytes(file.read_bytes().replace(b"churn", b"chorn"))
    with pytest.raises(BundleError, match="is not what its digest says") as caught:
        registry.read_manifest("churn", digest)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("content", [b"otherwise", b"short", b"longer than said"])
def test_a_blob_is_what_its_digest_says(registry: StoreRegistry, tmp_path: Path, content: bytes) -> None:
    digest = sha256(b"nine byte")
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(BundleError):
        registry.write_blob("churn", digest, 9, [content])
    with pytest.raises(BundleError):
        registry.adopt_blob("churn", digest, 9, tmp_path / "file")
    assert not registry.has_blob("churn", digest)
    assert registry.write_blob("churn", digest, 9, [b"nine ", b"byte"])
    assert not registry.write_blob("churn", digest, 9, [b"nine byte"])
