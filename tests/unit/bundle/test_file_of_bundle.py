"""Bundles in files: the same bytes every time, the same digest afterwards, and files of some platforms."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest
from sample_bundle import LINUX, MACOS, make_bundle

from mlship.bundle.export import export_file
from mlship.bundle.import_file import import_file
from mlship.bundle.layout import LAYOUT, Index, write_index
from mlship.bundle.open import open_bundle, verify_bundle
from mlship.errors import BundleError, RegistryError, UsageError
from mlship.reference import Reference, parse_reference
from mlship.registry.over_store import StoreRegistry, open_folder
from mlship.registry.transfer import copy

REF = Reference("churn", tag="1.0")


@pytest.fixture
def source(tmp_path: Path) -> StoreRegistry:
    registry = open_folder(f"dir://{tmp_path}/source")
    registry.set_tag("churn", "1.0", make_bundle(registry), None)
    return registry


@pytest.fixture
def other(tmp_path: Path) -> StoreRegistry:
    return open_folder(f"dir://{tmp_path}/other")


def exported(registry: StoreRegistry, file: Path, *platforms: str, ref: Reference = REF) -> bytes:
    export_file(open_bundle(registry, ref), file, platforms)
    return file.read_bytes()


def taken(data: bytes, sink: StoreRegistry, *, partial: bool = False):
    return import_file(io.BytesIO(data), sink, partial_sink=sink if partial else None)


def test_the_documents_of_a_file_are_fixed() -> None:
    """A change here is a change of the format."""
    assert LAYOUT == b'{"imageLayoutVersion":"1.0.0"}'
    assert write_index(Index("sha256:" + "0" * 64, 7, "1.0", (LINUX,))) == (
        b'{"manifests":[{"annotations":{"org.opencontainers.image.ref.name":"1.0",'
        b'"vnd.mlship.platforms":"linux-amd64-cp311-gnu2.28"},'
        b'"artifactType":"application/vnd.cncf.model.manifest.v1+json","digest":"sha256:'
        + b"0"
        * 64
        + b'","mediaType":"application/vnd.oci.image.manifest.v1+json","size":7}],'
        b'"mediaType":"application/vnd.oci.image.index.v1+json","schemaVersion":2}'
    )


def test_the_same_bytes_every_time(source: StoreRegistry, other: StoreRegistry, tmp_path: Path) -> None:
    data = exported(source, tmp_path / "a.tar")
    taken(data, other)
    other.set_tag("churn", "1.0", source.resolve(REF), None)
    assert data == exported(other, tmp_path / "a.tar")  # from elsewhere, in the place of the first
    assert (tmp_path / "a.tar").stat().st_size == len(data)
    assert not list(tmp_path.glob("*.part-*"))


def test_other_tools_see_an_image_layout(source: StoreRegistry, tmp_path: Path) -> None:
    digest = source.resolve(REF)
    exported(source, tmp_path / "a.tar")
    with tarfile.open(tmp_path / "a.tar") as archive:
        files = {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    (described,) = json.loads(files["index.json"])["manifests"]
    assert described["digest"] == digest
    assert described["annotations"] == {"org.opencontainers.image.ref.name": "1.0"}
    manifest = json.loads(files["blobs/sha256/" + digest[7:]])
    for blob in (manifest["config"], *manifest["layers"]):
        content = files["blobs/sha256/" + blob["digest"][7:]]
        assert len(content) == blob["size"]
        assert "sha256:" + hashlib.sha256(content).hexdigest() == blob["digest"]
    assert len(files) == 3 + 1 + len(manifest["layers"])


def test_there_and_back(source: StoreRegistry, other: StoreRegistry, tmp_path: Path) -> None:
    digest = source.resolve(REF)
    first = taken(exported(source, tmp_path / "a.tar"), other)
    assert (first.name, first.tag, first.digest, first.absent) == ("churn", "1.0", digest, ())
    bundle = open_bundle(other, Reference("churn", digest=digest))
    assert verify_bundle(bundle).files == 7
    again = taken((tmp_path / "a.tar").read_bytes(), other)
    assert (again.sent_blobs, again.sent_bytes, again.present_bytes) == (0, 0, first.sent_bytes)


def test_by_digest_there_is_no_tag(source: StoreRegistry, other: StoreRegistry, tmp_path: Path) -> None:
    ref = parse_reference(f"churn@{source.resolve(REF)}")
    assert taken(exported(source, tmp_path / "a.tar", ref=ref), other).tag == ""


def test_what_is_there_already_is_checked_nevertheless(
    source: StoreRegistry, other: StoreRegistry, tmp_path: Path
) -> None:
    data = exported(source, tmp_path / "a.tar")
    taken(data, other)
    with pytest.raises(BundleError, match="is not what its digest says"):
        taken(data.replace(b"a model", b"a MODEL"), other)


@pytest.mark.parametrize("word", ["linux/amd64", "linux-amd64", LINUX])
def test_a_file_of_one_platform(
    source: StoreRegistry, other: StoreRegistry, tmp_path: Path, word: str
) -> None:
    whole, some = exported(source, tmp_path / "a.tar"), exported(source, tmp_path / "b.tar", word)
    assert len(some) < len(whole)
    found = taken(some, other, partial=True)
    assert found.digest == source.resolve(REF)
    assert found.absent == ("runtime-macos.tar",)
    bundle = open_bundle(other, Reference("churn", digest=found.digest))
    verified = verify_bundle(bundle)
    assert (verified.files, verified.absent) == (6, ("runtime-macos.tar",))
    (lacking,) = bundle.absent
    with pytest.raises(BundleError, match=r"runtime-macos.tar of churn@sha256:.* is not in dir://"):
        bundle.blob(lacking)


def test_a_file_of_all_platforms_is_the_whole_file(source: StoreRegistry, tmp_path: Path) -> None:
    assert exported(source, tmp_path / "a.tar") == exported(source, tmp_path / "b.tar", MACOS, LINUX)


def test_an_unknown_platform_is_named_with_those_that_there_are(
    source: StoreRegistry, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=f"no platform 'linux/arm64'. It has {LINUX}, {MACOS}"):
        exported(source, tmp_path / "a.tar", "linux/arm64")


def test_a_registry_takes_no_part_of_a_bundle(
    source: StoreRegistry, other: StoreRegistry, tmp_path: Path
) -> None:
    data = exported(source, tmp_path / "a.tar", "linux/amd64")
    with pytest.raises(UsageError, match=r"some platforms only, without runtime-macos.tar"):
        taken(data, other)
    assert other.names() == []


def test_a_part_is_not_pushed_on_and_not_exported_whole(
    source: StoreRegistry, other: StoreRegistry, tmp_path: Path
) -> None:
    data = exported(source, tmp_path / "a.tar", "linux/amd64")
    digest = taken(data, other, partial=True).digest
    third = open_folder(f"dir://{tmp_path}/third")
    with pytest.raises(RegistryError, match=r"cannot be sent from .*: it lacks runtime-macos.tar"):
        copy(other, third, "churn", digest)
    assert third.names() == []
    ref = Reference("churn", digest=digest)
    with pytest.raises(RegistryError, match=r"is not whole in .*: it lacks runtime-macos.tar"):
        exported(other, tmp_path / "b.tar", ref=ref)
    other.set_tag("churn", "1.0", digest, None)
    assert exported(other, tmp_path / "b.tar", "linux/amd64") == data
    assert copy(other, source, "churn", digest).sent_blobs == 0  # who has the rest already may have it


def test_two_parts_make_a_whole(source: StoreRegistry, other: StoreRegistry, tmp_path: Path) -> None:
    for platform in ("linux/amd64", "macos/arm64"):
        found = taken(exported(source, tmp_path / "a.tar", platform), other, partial=True)
    assert found.absent == ()
    third = open_folder(f"dir://{tmp_path}/third")
    assert copy(other, third, "churn", found.digest).sent_blobs == 8
    assert verify_bundle(open_bundle(other, Reference("churn", digest=found.digest))).absent == ()


def test_a_lost_layer_is_no_absent_one(source: StoreRegistry, other: StoreRegistry, tmp_path: Path) -> None:
    """A file of some platforms does not explain away what a whole bundle has lost."""
    digest = taken(exported(source, tmp_path / "a.tar"), other).digest
    bundle = open_bundle(other, Reference("churn", digest=digest))
    lost = next(layer for layer in bundle.manifest.layers if layer.platform == MACOS)
    path = other.file_of_blob("churn", lost.digest)
    assert path is not None
    path.unlink()
    taken(exported(source, tmp_path / "b.tar", "linux/amd64"), other, partial=True)
    assert open_bundle(other, Reference("churn", digest=digest)).absent == frozenset()
    with pytest.raises(RegistryError):
        verify_bundle(open_bundle(other, Reference("churn", digest=digest)))


def test_a_damaged_source_leaves_the_old_file(source: StoreRegistry, tmp_path: Path) -> None:
    bundle = open_bundle(source, REF)
    file = tmp_path / "a.tar"
    file.write_bytes(b"before")
    path = source.file_of_blob("churn", bundle.manifest.layers[0].digest)
    assert path is not None
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b"a model", b"a MODEL"))
    with pytest.raises(BundleError, match=r"model.tar in dir://.* is damaged"):
        export_file(bundle, file)
    assert file.read_bytes() == b"before"
    assert not list(tmp_path.glob("*.part-*"))


def test_a_folder_that_is_not_there(source: StoreRegistry, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=r"a.tar cannot be written: No such file or directory"):
        export_file(open_bundle(source, REF), tmp_path / "nowhere" / "a.tar")
