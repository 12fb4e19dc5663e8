"""Registries that refuse a bundle's manifest keep it nevertheless: same bytes, same digest, for anybody."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from oci_double import VENDORS, Double, Handler, digest_of, running
from oci_servers import docker_registry
from sample_bundle import make_bundle
from sampling import Some

from mlship.bundle.open import open_bundle, verify_bundle
from mlship.digest import sha256
from mlship.errors import BundleError, RegistryError, TagMovedError, UsageError
from mlship.reference import Reference, parse_reference
from mlship.registry.oci.address import parse_address
from mlship.registry.oci.carrier import OCI, bundle_carrier, bundle_tag, carried_bundle
from mlship.registry.oci.patience import Patience
from mlship.registry.oci.profiles import profile_of
from mlship.registry.oci.registry import OciRegistry
from mlship.registry.over_store import StoreRegistry, open_folder
from mlship.registry.transfer import copy

KEEPING = [name for name in VENDORS if name != "takes nothing"]
CARRYING = ["gitlab", "quay", "ecr", "artifactory 6"]
VARIABLE = "MLSHIP_OCI_PROFILES"
TYPE, OTHER = "application/vnd.example+json", "application/vnd.example.other+json"


@pytest.fixture
def double(request: pytest.FixtureRequest, own_cache: Path) -> Iterator[Double]:
    vendor = getattr(request, "param", "gitlab")
    with running(Double(vendor=vendor, referrers=vendor not in ("ecr 2024", "artifactory 6"))) as found:
        yield found


def opened(double: Double) -> OciRegistry:
    """As another process sees it."""
    return OciRegistry(parse_address(f"oci://{double.host}/team"), Patience(pause=0.01, attempts=2))


def folder(at: Path) -> StoreRegistry:
    registry = open_folder(f"dir://{at}")
    registry.set_tag("churn", "1.0", make_bundle(registry), None)
    registry.attach("churn", registry.tags("churn")["1.0"], TYPE, b"signed")
    return registry


every = pytest.mark.parametrize("double", KEEPING, indirect=True)
carrying = pytest.mark.parametrize("double", CARRYING, indirect=True)


@every
def test_there_and_back(double: Double, tmp_path: Path) -> None:
    source, target = folder(tmp_path / "one"), open_folder(f"dir://{tmp_path}/two")
    digest = source.tags("churn")["1.0"]
    copy(source, opened(double), "churn", digest, tag="1.0")
    there = opened(double)
    assert there.resolve(parse_reference("churn:1.0")) == digest
    assert (there.tags("churn"), there.names()) == ({"1.0": digest}, ["churn"])
    assert there.has_manifest("churn", digest)
    assert there.read_manifest("churn", digest) == source.read_manifest("churn", digest)
    verify_bundle(open_bundle(there, Reference("churn", digest=digest)))
    done = copy(there, target, "churn", digest, tag="1.0")
    assert (done.sent_attachments, target.tags("churn")) == (1, {"1.0": digest})
    (attached,) = target.attachments("churn", digest)
    assert (attached.media_type, target.read_attachment("churn", attached)) == (TYPE, b"signed")


@every
def test_a_second_push_sends_nothing(double: Double, tmp_path: Path) -> None:
    source = folder(tmp_path / "one")
    digest = source.tags("churn")["1.0"]
    copy(source, opened(double), "churn", digest, tag="1.0")
    double.seen.clear()
    again = copy(source, opened(double), "churn", digest, tag="1.0")
    assert (again.sent_blobs, again.sent_bytes, again.sent_attachments) == (0, 0, 0)
    assert sum(seen.came for seen in double.of("PUT", "/blobs/")) == 0


@every
def test_tags_move_from_bundle_to_bundle(double: Double, tmp_path: Path) -> None:
    registry = opened(double)
    one, two = make_bundle(registry), make_bundle(registry, version="2.0")
    first = registry.set_tag("churn", "live", one, None)
    assert registry.read_tag("churn", "live") == first
    with pytest.raises(TagMovedError):
        registry.set_tag("churn", "live", two, None)
    second = opened(double).set_tag("churn", "live", two, first)
    assert registry.tags("churn") == {"live": two}
    with pytest.raises(TagMovedError):
        registry.set_tag("churn", "live", one, first)
    registry.delete_tag("churn", "live", second)
    assert registry.tags("churn") == {}
    assert registry.has_manifest("churn", one) is registry.has_manifest("churn", two) is True


@carrying
def test_attachments_do_not_get_lost_between_writers(double: Double) -> None:
    digest = make_bundle(opened(double))
    texts = [f"{number}".encode() for number in range(6)]
    writers = [
        threading.Thread(target=lambda data=data: opened(double).attach("churn", digest, TYPE, data))
        for data in texts
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    registry = opened(double)
    attached = registry.attachments("churn", digest)
    found = {registry.read_attachment("churn", one) for one in attached}
    assert found == set(texts)
    registry.attach("churn", digest, OTHER, texts[0])
    assert len(registry.attachments("churn", digest)) == len(texts) + 1


def test_the_carrier_names_every_blob_and_is_the_same_each_time(double: Double, tmp_path: Path) -> None:
    source = folder(tmp_path / "one")
    digest = source.tags("churn")["1.0"]
    copy(source, opened(double), "churn", digest, tag="1.0")
    stored, kind = double.manifests["team/churn", "1.0"]
    manifest = source.read_manifest("churn", digest)
    assert (stored, kind) == (bundle_carrier(manifest, OCI).manifest, OCI.manifest)
    assert double.manifests["team/churn", bundle_tag(digest)][0] == stored
    named = {layer["digest"] for layer in json.loads(stored)["layers"]}
    said = json.loads(manifest)
    assert named == {digest, said["config"]["digest"], *(layer["digest"] for layer in said["layers"])}
    assert all(("team/churn", one) in double.blobs for one in named)


@carrying
def test_what_a_carrier_claims_is_compared(double: Double) -> None:
    registry = opened(double)
    digest = make_bundle(registry)
    registry.set_tag("churn", "1.0", digest, None)
    double.blobs["team/churn", digest] = double.blobs["team/churn", digest].replace(b"1.0", b"6.6")
    with pytest.raises(BundleError, match=r"is not what its digest says|damaged|digest"):
        opened(double).read_manifest("churn", digest)
    stored, _ = double.manifests["team/churn", "1.0"]
    lie = json.loads(stored)
    lie["annotations"]["vnd.mlship.carries"] = "sha256:" + "0" * 64
    assert carried_bundle(json.dumps(lie).encode()) is None


@pytest.mark.faults
@pytest.mark.timeout(300)
@carrying
def test_broken_off_at_any_request(double: Double, tmp_path: Path, some: Some) -> None:
    """What a tag names is whole, and a repeat finishes."""
    source = folder(tmp_path / "one")
    digest = source.tags("churn")["1.0"]
    broken = 0

    def push() -> None:
        copy(source, opened(double), "churn", digest, tag="1.0")

    while True:
        broken += some.stride()
        for kept in (double.blobs, double.manifests, double.uploads, double.seen):
            kept.clear()
        double.lie = lambda handler, after=broken: len(double.seen) > after and _says_no(handler)
        try:
            push()
        except RegistryError:
            double.lie = None
            tagged = opened(double).read_tag("churn", "1.0")
            if tagged:
                verify_bundle(open_bundle(opened(double), Reference("churn", digest=tagged.digest)))
                assert len(opened(double).attachments("churn", digest)) == 1, "signed before it is named"
            push()
            verify_bundle(open_bundle(opened(double), parse_reference("churn:1.0")))
        else:
            break
    assert broken > 20


def _says_no(handler: Handler) -> bool:
    handler.body()
    handler.error(500, "UNKNOWN", {"Connection": "close"})
    return True


@pytest.mark.parametrize("double", ["takes nothing"], indirect=True)
def test_who_takes_nothing_is_told(double: Double) -> None:
    with pytest.raises(RegistryError, match=r"cannot store the manifest .* it answers 400 MANIFEST_INVALID"):
        make_bundle(opened(double))
    assert not double.manifests


def test_another_refusal_is_not_taken_for_one_of_the_form(double: Double, tmp_path: Path) -> None:
    source = folder(tmp_path / "one")

    def lie(handler: object) -> bool:
        denied = handler.command == "PUT" and "/manifests/" in handler.path  # type: ignore[attr-defined]
        if denied:
            handler.body()  # type: ignore[attr-defined]
            handler.error(400, "DENIED")  # type: ignore[attr-defined]
        return denied

    double.lie = lie
    with pytest.raises(RegistryError, match="DENIED"):
        copy(source, opened(double), "churn", source.tags("churn")["1.0"], tag="1.0")
    assert len(double.of("PUT", "/manifests/")) == 1


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("registry.gitlab.com", "gitlab"),
        ("gitlab.example.com:5050", "gitlab"),
        ("quay.io", "quay"),
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "ecr"),
        ("team.jfrog.io", "artifactory"),
        ("docker.io", "plain"),
        ("europe-docker.pkg.dev", "plain"),
        ("team.azurecr.io", "plain"),
        ("127.0.0.1:5000", "any"),
        ("registry.example.com", "any"),
    ],
)
def test_profiles_by_host(host: str, name: str) -> None:
    assert profile_of(host).name == name


def test_a_profile_can_be_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "registry.example.com=plain, other.example.com:5000=quay")
    assert [
        profile_of(host).name for host in ("registry.example.com", "other.example.com:5000", "quay.io")
    ] == [
        "plain",
        "quay",
        "quay",
    ]
    monkeypatch.setenv(VARIABLE, "registry.example.com=best")
    with pytest.raises(UsageError, match="names the profile 'best'"):
        profile_of("registry.example.com")


def test_a_plain_registry_is_asked_for_no_content(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(Double()) as double:
        make = opened(double)
        make.set_tag("churn", "1.0", make_bundle(make), None)
        monkeypatch.setenv(VARIABLE, f"{double.host}=plain")
        double.seen.clear()
        assert opened(double).read_tag("churn", "1.0") is not None
        assert [seen.method for seen in double.seen] == ["HEAD"]


def test_a_real_registry_keeps_a_carrier(
    tmp_path: Path, require: Callable[[str], None], own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """docker-registry takes both; here it is made to look as if it took images only."""
    require("docker-registry")
    with docker_registry(tmp_path / "server", "open") as server:
        registry = OciRegistry(parse_address(f"oci://{server.host}/team"))
        source = folder(tmp_path / "one")
        digest = source.tags("churn")["1.0"]
        manifest = source.read_manifest("churn", digest)
        copy(source, registry, "churn", digest, tag=None)
        for form in registry.kept.profile.carriers:
            carrier = bundle_carrier(manifest, form)
            for blob in (manifest, carrier.config):
                registry.write_blob("churn", sha256(blob), len(blob), [blob])
            registry.documents.write("team/churn", "carried", carrier.manifest, carrier.media_type)
            assert registry.read_tag("churn", "carried").digest == digest == digest_of(manifest)
