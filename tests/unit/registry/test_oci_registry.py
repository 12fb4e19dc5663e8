"""The registry over OCI: the same tests on a registry in the test, with and without the list of referrers,
and on real servers that are open, want a password, or tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from oci_double import PASSWORD, USER, Double, Handler, running
from oci_servers import docker_registry
from sample_bundle import make_bundle

from mlship.bundle.open import open_bundle, verify_bundle
from mlship.bundle.source import HasFiles
from mlship.digest import sha256
from mlship.errors import BundleError, RegistryError, TagMovedError
from mlship.reference import Reference, parse_reference
from mlship.registry import open_registry
from mlship.registry.oci import docker_config
from mlship.registry.oci.address import parse_address
from mlship.registry.oci.patience import Patience
from mlship.registry.oci.registry import OciRegistry
from mlship.registry.over_store import StoreRegistry, open_folder
from mlship.registry.protocol import ListsAtOnce, Mounts, Registry, TakesFiles
from mlship.registry.transfer import copy
from mlship_runtime.bundle.manifest import read_manifest

NOWHERE = "sha256:" + "0" * 64
TYPE = "application/vnd.example+json"
QUICK = Patience(pause=0.01)
WAYS = ("double", "double of OCI 1.0", "open", "htpasswd", "token")


@pytest.fixture
def host(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    require: Callable[[str], None],
    own_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[str]:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    way = getattr(request, "param", "double")
    if way.startswith("double"):
        with running(Double(referrers=way == "double")) as double:
            yield double.host
        return
    require("docker-registry")
    with docker_registry(tmp_path / "server", way) as server:
        if way != "open":
            docker_config.store(server.host, USER, PASSWORD)
        yield server.host


every = pytest.mark.parametrize("host", WAYS, indirect=True)


@pytest.fixture
def registry(host: str) -> OciRegistry:
    return OciRegistry(parse_address(f"oci://{host}/team/models"), QUICK)


@pytest.fixture
def folder(tmp_path: Path) -> StoreRegistry:
    return open_folder(f"dir://{tmp_path}/folder")


def test_it_is_a_registry(registry: OciRegistry) -> None:
    typed: Registry = registry
    assert isinstance(typed, Mounts)
    assert isinstance(typed, ListsAtOnce)
    assert not isinstance(typed, HasFiles)
    assert not isinstance(typed, TakesFiles)
    for scheme in ("oci", "oci+http", "oci+https"):
        assert open_registry(f"{scheme}://example.com/team").url == f"{scheme}://example.com/team"


@every
def test_a_bundle_goes_there_and_back(registry: OciRegistry, folder: StoreRegistry, tmp_path: Path) -> None:
    digest = make_bundle(folder)
    folder.attach("churn", digest, TYPE, b"a signature")
    sent = copy(folder, registry, "churn", digest, tag="1.0")
    assert (sent.digest, sent.sent_blobs, sent.sent_attachments) == (digest, 8, 1)
    again = copy(folder, OciRegistry(registry.address, QUICK), "churn", digest, tag="1.0")
    assert (again.sent_blobs, again.sent_bytes, again.sent_attachments) == (0, 0, 0)
    assert again.present_bytes == sent.sent_bytes
    verify_bundle(open_bundle(registry, parse_reference("churn:1.0")))
    back = open_folder(f"dir://{tmp_path}/back")
    assert copy(registry, back, "churn", digest, tag="1.0").sent_bytes == sent.sent_bytes
    assert back.read_manifest("churn", digest) == folder.read_manifest("churn", digest)
    assert back.attachments("churn", digest) == folder.attachments("churn", digest)
    verify_bundle(open_bundle(back, parse_reference("churn:1.0")))


@every
def test_names_tags_and_digests(registry: OciRegistry) -> None:
    assert registry.names() == []
    assert registry.tags("churn") == {}
    assert registry.read_tag("churn", "1") is None
    first, second = make_bundle(registry), make_bundle(registry, model=b"another")
    assert registry.has_manifest("churn", first)
    assert not registry.has_manifest("churn", NOWHERE)
    one = registry.set_tag("churn", "1", first, None)
    registry.set_tag("churn", "prod", first, None)
    registry.attach("churn", first, TYPE, b"its list is no tag of ours")
    assert registry.names() == ["churn"]
    assert registry.tags("churn") == {"1": first, "prod": first}
    two = registry.set_tag("churn", "1", second, one)
    assert registry.read_tag("churn", "1") == two
    assert registry.digests("churn") == sorted([first, second])
    assert registry.resolve(Reference("churn", digest=first)) == first
    assert registry.resolve(parse_reference("churn:1")) == second
    for expected in (None, one):
        with pytest.raises(TagMovedError, match="churn:1 was moved by somebody else"):
            registry.set_tag("churn", "1", first, expected)
    assert registry.tags("churn")["1"] == second


@every
def test_what_is_attached_is_found_again(registry: OciRegistry) -> None:
    digest, other = make_bundle(registry), make_bundle(registry, version="2.0")
    assert registry.attachments("churn", digest) == []
    kept = [registry.attach("churn", digest, TYPE, data) for data in (b"one", b"two", b"one")]
    assert kept[0] == kept[2]
    assert registry.attachments("churn", digest) == sorted(kept[:2])
    assert registry.attachments("churn", other) == []
    assert registry.read_attachment("churn", kept[0]) == b"one"
    with pytest.raises(RegistryError, match="has no churn@sha256:000000000000"):
        registry.attach("churn", NOWHERE, TYPE, b"one")


@every
def test_a_blob_is_what_its_digest_says(registry: OciRegistry) -> None:
    digest = sha256(b"nine byte")
    for content in (b"otherwise", b"short", b"longer than said"):
        with pytest.raises((BundleError, RegistryError)):
            registry.write_blob("churn", digest, 9, [content])
        assert not OciRegistry(registry.address, QUICK).has_blob("churn", digest)
    assert registry.write_blob("churn", digest, 9, [b"nine ", b"byte"])
    assert not registry.write_blob("churn", digest, 9, [b"nine byte"])
    assert b"".join(registry.read_blob("churn", digest, 9)) == b"nine byte"
    assert registry.write_blob("churn", sha256(b""), 0, [])
    assert list(registry.read_blob("churn", sha256(b""), 0)) == []


@every
def test_a_manifest_with_a_blob_missing_is_not_published(
    registry: OciRegistry, folder: StoreRegistry
) -> None:
    digest = make_bundle(folder)
    data = folder.read_manifest("churn", digest)
    with pytest.raises(RegistryError, match=r"cannot be published in oci://.*: blobs are not there: sha256:"):
        registry.write_manifest("churn", data)
    with pytest.raises(BundleError, match="the manifest"):
        registry.write_manifest("churn", b"{}")
    assert not registry.has_manifest("churn", digest)


@every
def test_blobs_of_a_neighbour_are_mounted(registry: OciRegistry, folder: StoreRegistry) -> None:
    digest = make_bundle(folder)
    copy(folder, registry, "churn", digest, tag="1.0")
    beside = OciRegistry(parse_address(f"oci://{registry.address.host}/other"), QUICK)
    assert copy(registry, beside, "churn", digest, tag="1.0").sent_blobs == 0
    remembered = OciRegistry(parse_address(f"oci://{registry.address.host}/third"), QUICK)
    assert copy(folder, remembered, "churn", digest, tag="1.0").sent_blobs == 0
    verify_bundle(open_bundle(remembered, parse_reference("churn:1.0")))


@every
def test_what_there_is_instead(registry: OciRegistry) -> None:
    def said(text: str) -> str:
        with pytest.raises(RegistryError) as caught:
            registry.resolve(parse_reference(text))
        return str(caught.value).replace(registry.url, "HERE")

    assert said("churn:1.0") == "HERE has no bundle churn: it is empty. Push it there first"
    registry.set_tag("churn", "1.0", make_bundle(registry), None)
    assert said("churn:1.1") == "HERE has no churn:1.1: its tags are 1.0. Did you mean 1.0?"
    assert said("chrun:1.0") == "HERE has no bundle chrun: it has churn. Did you mean churn?"
    assert said(f"churn@{NOWHERE}").startswith("HERE has no churn@sha256:000000000000…: it was not pushed")


def test_tags_can_be_removed_where_the_registry_can(host: str, registry: OciRegistry) -> None:
    digest = make_bundle(registry)
    first = registry.set_tag("churn", "1", digest, None)
    registry.set_tag("churn", "2", digest, None)
    registry.delete_tag("churn", "1", first)
    assert registry.tags("churn") == {"2": digest}
    with pytest.raises(TagMovedError):
        registry.delete_tag("churn", "1", first)


@pytest.mark.parametrize("host", ["open"], indirect=True)
def test_a_registry_that_removes_no_tags_says_so(registry: OciRegistry) -> None:
    tagged = registry.set_tag("churn", "1", make_bundle(registry), None)
    with pytest.raises(RegistryError, match="removes no tags"):
        registry.delete_tag("churn", "1", tagged)
    assert registry.read_tag("churn", "1") == tagged


def test_what_other_tools_keep_there_is_left_alone(tmp_path: Path, own_cache: Path) -> None:
    with running(Double()) as double:
        registry = OciRegistry(parse_address(f"oci://{double.host}"), QUICK)
        digest = make_bundle(registry)
        registry.set_tag("churn", "1", digest, None)
        kind = "application/vnd.oci.image.manifest.v1+json"
        image = b'{"schemaVersion":2,"layers":[]}'
        theirs = (
            b'{"schemaVersion":2,"artifactType":"x","layers":[],"subject":{"digest":"%s"}}' % digest.encode()
        )
        double.manifests["churn", "image"] = (image, kind)
        double.manifests["churn", sha256(theirs)] = (theirs, kind)
        double.manifests["a/deeper/one", "1"] = (image, kind)
        assert registry.names() == ["churn"]
        assert registry.tags("churn") == {"1": digest}
        assert registry.attachments("churn", digest) == []


def test_blobs_that_were_collected_meanwhile_are_sent_again(folder: StoreRegistry, own_cache: Path) -> None:
    digest = make_bundle(folder)
    with running(Double()) as double:
        registry = OciRegistry(parse_address(f"oci://{double.host}"), QUICK)
        layers = [blob.digest for blob in read_manifest(folder.read_manifest("churn", digest)).layers]
        collected = [layers[0], layers[3]]

        class Collecting(OciRegistry):
            def write_manifest(self, name: str, data: bytes) -> str:
                while collected:
                    del double.blobs["churn", collected.pop()]
                return super().write_manifest(name, data)

        done = copy(folder, Collecting(registry.address, QUICK), "churn", digest, tag="1")
        assert done.sent_blobs == 8 + 2
        verify_bundle(open_bundle(registry, parse_reference("churn:1")))


def test_a_tag_that_somebody_else_sets_right_after_is_told(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(Double()) as double:
        registry = OciRegistry(parse_address(f"oci://{double.host}"), QUICK)
        ours, theirs = make_bundle(registry), make_bundle(registry, model=b"theirs")
        real = registry.kept.tag

        def overtaken(name: str, tag: str, found: Any) -> None:
            real(name, tag, found)
            double.manifests[name, tag] = double.manifests[name, theirs]

        monkeypatch.setattr(registry.kept, "tag", overtaken)
        with pytest.raises(TagMovedError, match="churn:1 was moved by somebody else"):
            registry.set_tag("churn", "1", ours, None)
        assert registry.tags("churn") == {"1": theirs}


def test_a_list_in_pages_is_read_to_its_end(own_cache: Path) -> None:
    with running(Double(page=2)) as double:
        registry = OciRegistry(parse_address(f"oci://{double.host}"), QUICK)
        digest = make_bundle(registry)
        for number in range(7):
            registry.set_tag("churn", f"t{number}", digest, None)
        assert sorted(registry.tags("churn")) == [f"t{number}" for number in range(7)]


def test_a_proxy_that_cuts_large_bodies_gets_chunks(own_cache: Path) -> None:
    def lie(handler: Handler) -> bool:
        if int(handler.headers.get("Content-Length") or 0) > 17 << 20:
            handler.connection.close()
            raise OSError
        return False

    with running(Double(lie=lie)) as double:
        registry = OciRegistry(parse_address(f"oci://{double.host}"), QUICK)
        content = b"x" * (18 << 20)
        registry.write_blob("churn", sha256(content), len(content), [content])
        assert double.blobs["churn", sha256(content)] == content


def test_a_server_that_takes_no_large_bodies_gets_chunks(own_cache: Path, tmp_path: Path) -> None:
    for limit, least in ((20 << 20, 1), (1 << 20, 40)):
        with running(Double(largest_body=limit)) as double:
            registry = OciRegistry(parse_address(f"oci://{double.host}"), QUICK)
            content = b"x" * (21 << 20)
            registry.write_blob("churn", sha256(content), len(content), [content])
            assert double.blobs["churn", sha256(content)] == content
            assert len(double.of("PATCH")) > least


@pytest.mark.parametrize("host", ["double", "open", "token"], indirect=True)
def test_a_policy_is_kept_as_an_artifact(registry: OciRegistry) -> None:
    """Under a tag, which cannot be compared and set: who knows an older one is told."""
    assert registry.read_policy() is None
    assert not registry.write_policy(b"one", NOWHERE)
    assert registry.write_policy(b"one", None)
    found = registry.read_policy()
    assert found is not None
    assert found[0] == b"one"
    assert not registry.write_policy(b"two", None)
    assert registry.write_policy(b"two", found[1])
    assert not registry.write_policy(b"three", found[1])
    again = registry.read_policy()
    assert again is not None
    assert again[0] == b"two"
    assert "mlship-policy" not in registry.names()
