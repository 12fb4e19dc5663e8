"""Bundles in files: the same bytes every time, the same digest afterwards, and files of some platforms."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest
from sample_bundle import LINUX, MACOS, make_bundle

from mlship.bundle.exchange.export import export_file
from mlship.bundle.exchange.import_file import Taken, import_file
from mlship.bundle.exchange.layout import LAYOUT, Index, write_index
from mlship.bundle.exchange.referrer import Subject, read_referrer, write_referrer
from mlship.bundle.open import open_bundle, verify_bundle
from mlship.bundle.source import Attachment
from mlship.digest import sha256
from mlship.errors import BundleError, RegistryError, UsageError
from mlship.reference import Reference, parse_reference
from mlship.registry.collect import collect
from mlship.registry.oci.referrers import attached_manifest
from mlship.registry.over_store import StoreRegistry, open_folder
from mlship.registry.transfer import copy
from mlship_runtime.trust.envelope import MEDIA_TYPE

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


NOTE = "application/vnd.example.note+json"


@pytest.fixture
def said(source: StoreRegistry) -> str:
    """The bundle of `source` with a signature and a note of another tool; its digest."""
    digest = source.resolve(REF)
    source.attach("churn", digest, MEDIA_TYPE, b"a signature")
    source.attach("churn", digest, NOTE, b"a note")
    return digest


def test_the_manifest_of_an_attachment_is_fixed() -> None:
    """A change here is a change of the format: registries of the OCI kind keep the same manifests."""
    subject, attachment = Subject("sha256:" + "1" * 64, 7), Attachment("a/b", "sha256:" + "2" * 64, 3)
    data = write_referrer(subject, attachment)
    assert data == (
        b'{"artifactType":"a/b","config":{"digest":"sha256:'
        b"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
        b'","mediaType":"application/vnd.oci.empty.v1+json","size":2},"layers":[{"digest":"sha256:'
        + b"2" * 64
        + b'","mediaType":"a/b","size":3}],"mediaType":"application/vnd.oci.image.manifest.v1+json",'
        b'"schemaVersion":2,"subject":{"digest":"sha256:' + b"1" * 64
        + b'","mediaType":"application/vnd.oci.image.manifest.v1+json","size":7}}'
    )  # fmt: skip
    assert read_referrer(data, subject) == attachment
    manifest = b"a manifest"
    tied = Subject(sha256(manifest), len(manifest))
    assert attached_manifest("a/b", b"abc", manifest) == write_referrer(
        tied, Attachment("a/b", sha256(b"abc"), 3)
    )


def test_attachments_come_along(
    source: StoreRegistry, other: StoreRegistry, tmp_path: Path, said: str
) -> None:
    """Of whatever type; the digest is the bundle's, and a second time nothing is new."""
    data = exported(source, tmp_path / "a.tar")
    first = taken(data, other)
    assert (first.digest, first.sent_attachments) == (said, 2)
    assert other.attachments("churn", said) == source.attachments("churn", said)
    bundle = open_bundle(other, Reference("churn", digest=said))
    assert list(bundle.attached(MEDIA_TYPE)) == [b"a signature"]
    assert list(bundle.attached(NOTE)) == [b"a note"]
    assert taken(data, other).sent_attachments == 0
    other.set_tag("churn", "1.0", said, None)
    assert exported(other, tmp_path / "b.tar") == data


def test_a_later_signature_comes_with_a_later_file(
    source: StoreRegistry, other: StoreRegistry, tmp_path: Path, said: str
) -> None:
    taken(exported(source, tmp_path / "a.tar"), other)
    source.attach("churn", said, MEDIA_TYPE, b"another signature")
    again = taken(exported(source, tmp_path / "b.tar"), other)
    assert (again.sent_blobs, again.sent_attachments) == (0, 1)
    assert len(other.attachments("churn", said)) == 3


def test_a_file_of_some_platforms_has_the_attachments_too(
    source: StoreRegistry, other: StoreRegistry, tmp_path: Path, said: str
) -> None:
    found = taken(exported(source, tmp_path / "a.tar", "linux/amd64"), other, partial=True)
    assert (found.absent, found.sent_attachments) == (("runtime-macos.tar",), 2)


def test_other_tools_see_the_attachments_as_referrers(
    source: StoreRegistry, tmp_path: Path, said: str
) -> None:
    exported(source, tmp_path / "a.tar")
    with tarfile.open(tmp_path / "a.tar") as archive:
        files = {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
    _, *listed = json.loads(files["index.json"])["manifests"]
    assert [entry["artifactType"] for entry in listed] == [MEDIA_TYPE, NOTE]
    for entry, content in zip(listed, (b"a signature", b"a note"), strict=True):
        data = files["blobs/sha256/" + entry["digest"][7:]]
        assert (len(data), "sha256:" + hashlib.sha256(data).hexdigest()) == (entry["size"], entry["digest"])
        document = json.loads(data)
        assert document["subject"]["digest"] == said
        for blob in (document["config"], *document["layers"]):
            assert len(files["blobs/sha256/" + blob["digest"][7:]]) == blob["size"]
        assert files["blobs/sha256/" + document["layers"][0]["digest"][7:]] == content


def test_what_repeats_the_bundle_is_not_carried(
    source: StoreRegistry, other: StoreRegistry, tmp_path: Path
) -> None:
    bundle = open_bundle(source, REF)
    spec = b"".join(bundle.blob(bundle.manifest.spec_layer.digest))
    for data in (spec, b"{}"):
        source.attach("churn", bundle.digest, NOTE, data)
    assert taken(exported(source, tmp_path / "a.tar"), other).sent_attachments == 0


def test_more_than_a_file_takes_is_said(
    source: StoreRegistry, tmp_path: Path, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlship.bundle.exchange.attached.MAX_ATTACHMENTS", 1)
    with pytest.raises(RegistryError, match="too much attached to it for a file: 2 attachments, where"):
        exported(source, tmp_path / "a.tar")
    monkeypatch.setattr("mlship.bundle.exchange.attached.MAX_ATTACHMENTS", 2)
    monkeypatch.setattr("mlship.bundle.exchange.attached.MAX_ATTACHED", 10)
    with pytest.raises(RegistryError, match="17 bytes are attached, where at most 10 can be"):
        exported(source, tmp_path / "a.tar")
    assert not (tmp_path / "a.tar").exists()


def test_a_type_that_is_none_is_not_written(source: StoreRegistry, tmp_path: Path) -> None:
    source.attach("churn", source.resolve(REF), "no type", b"x")
    with pytest.raises(BundleError, match="'no type' is not a media type"):
        exported(source, tmp_path / "a.tar")


def test_nothing_is_collected_while_a_bundle_comes(
    source: StoreRegistry, other: StoreRegistry, tmp_path: Path, said: str
) -> None:
    """Until it has its tag: a collection at any moment would take what no tag reaches."""
    collected: list[int] = []

    class Read(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() % 7 == 0:
                collected.append(collect(other).blobs)
            return super().read(size)

    def tag(taken: Taken) -> None:
        collected.append(collect(other).blobs)
        other.set_tag("churn", "1.0", taken.digest, None)

    import_file(Read(exported(source, tmp_path / "a.tar")), other, published=tag)
    assert len(collected) > 3
    assert set(collected) == {0}
    assert verify_bundle(open_bundle(other, REF)).files == 7
    assert other.attachments("churn", said) == source.attachments("churn", said)
