"""What people, other pushers and broken disks do to the bundles in an MLflow server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mlflow_servers import MlflowServer, at
from sample_bundle import make_bundle

from mlship.bundle.open import open_bundle, verify_bundle
from mlship.digest import hex_of, sha256
from mlship.errors import BundleError, RegistryError, TagMovedError
from mlship.reference import parse_reference
from mlship.registry.mlflow.registry import MlflowRegistry
from mlship.registry.over_store import StoreRegistry, open_folder
from mlship.registry.protocol import Tagged
from mlship.registry.transfer import copy

pytestmark = [pytest.mark.faults, pytest.mark.server, pytest.mark.timeout(600)]


@pytest.fixture
def source(tmp_path: Path) -> StoreRegistry:
    return open_folder(f"dir://{tmp_path}/source")


def reopened(registry: MlflowRegistry) -> MlflowRegistry:
    """As another process has it: nothing is remembered."""
    return at(registry.url)


def uploads(server: MlflowServer) -> list[str]:
    assert server.proxy
    return [x.target for x in server.proxy.of("PUT", "/blobs/sha256/")]


def on_disk(server: MlflowServer, digest: str) -> Path:
    """The file that the server keeps a blob in, of the bundle that has it alone."""
    (found,) = server.artifacts.rglob(hex_of(digest))
    return found


def test_an_alias_that_somebody_moves_by_hand(mlflow: MlflowServer, source: StoreRegistry) -> None:
    first, second = make_bundle(source), make_bundle(source, version="2.0")
    registry = mlflow.fresh()
    for digest in (first, second):
        copy(source, registry, "churn", digest)
    seen = registry.set_tag("churn", "prod", first, None)
    model = registry.address.model
    mlflow.call("POST", "registered-models/alias", name=model, alias="prod", version="2")
    assert registry.resolve(parse_reference("churn:prod")) == second
    with pytest.raises(TagMovedError, match="was moved by somebody else meanwhile"):
        registry.set_tag("churn", "prod", first, seen)
    mlflow.call("DELETE", "registered-models/alias", name=model, alias="prod")
    with pytest.raises(RegistryError, match="has no churn:prod"):
        registry.resolve(parse_reference("churn:prod"))
    # one that names what MLflow itself has logged
    logged = mlflow.call("POST", "model-versions/create", name=model, source="s3://elsewhere/model")
    number = logged["model_version"]["version"]
    mlflow.call("POST", "registered-models/alias", name=model, alias="prod", version=number)
    assert registry.read_tag("churn", "prod") is None
    assert registry.tags("churn") == {}
    with pytest.raises(RegistryError, match=f"prod names version {number} of .* is no bundle"):
        registry.resolve(parse_reference("churn:prod"))
    with pytest.raises(RegistryError, match="remove the alias in MLflow first"):
        registry.set_tag("churn", "prod", first, None)
    assert registry.digests("churn") == sorted([first, second])


def test_a_tag_that_moves_between_look_and_writing(
    mlflow: MlflowServer, source: StoreRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow has no compare-and-set: who wrote last is seen, and the other is told."""
    first, second = make_bundle(source), make_bundle(source, version="2.0")
    registry, other = mlflow.fresh(), None
    for digest in (first, second):
        copy(source, registry, "churn", digest)
    other = reopened(registry)
    write = registry.catalogue.set_tag

    def late(model: str, tag: str, number: int) -> None:
        write(model, tag, number)
        other.catalogue.set_tag(model, tag, 2)

    monkeypatch.setattr(registry.catalogue, "set_tag", late)
    with pytest.raises(TagMovedError):
        registry.set_tag("churn", "prod", first, None)
    assert other.resolve(parse_reference("churn:prod")) == second


def test_a_version_that_somebody_deletes(mlflow: MlflowServer, source: StoreRegistry) -> None:
    digest, registry = make_bundle(source), mlflow.fresh()
    copy(source, registry, "churn", digest, tag="1.0")
    registry.set_tag("churn", "prod", digest, None)
    mlflow.call("DELETE", "model-versions/delete", name=registry.address.model, version="1")
    gone = reopened(registry)
    assert gone.names() == []
    assert gone.tags("churn") == {}
    with pytest.raises(RegistryError, match="has no bundle churn"):
        gone.resolve(parse_reference(f"churn@{digest}"))
    assert mlflow.proxy
    mlflow.proxy.seen.clear()
    assert copy(source, gone, "churn", digest, tag="1.0").sent_blobs == 0, "its artifacts are there still"
    assert uploads(mlflow) == [x for x in uploads(mlflow) if x.endswith(hex_of(digest))]
    assert gone.read_tag("churn", "1.0") == Tagged(digest, "2")


def test_a_damaged_blob_is_refused(mlflow: MlflowServer, source: StoreRegistry, tmp_path: Path) -> None:
    digest, registry = make_bundle(source, model=b"one of its kind"), mlflow.fresh()
    copy(source, registry, "churn", digest, tag="1.0")
    bundle = open_bundle(reopened(registry), parse_reference("churn:1.0"))
    layer = bundle.manifest.layers[0]
    file = on_disk(mlflow, layer.digest)
    whole = file.read_bytes()
    back = open_folder(f"dir://{tmp_path}/back")
    for damaged in (bytes([whole[0] ^ 1]) + whole[1:], whole[:-1], whole + b"\0", b""):
        file.write_bytes(damaged)
        with pytest.raises(BundleError, match=r"model.tar in mlflow://.* is damaged"):
            verify_bundle(open_bundle(reopened(registry), parse_reference("churn:1.0")))
        with pytest.raises(BundleError):
            copy(reopened(registry), back, "churn", digest, tag="1.0")
        assert back.names() == []
    file.write_bytes(whole[:-1])  # as a server leaves it that was killed while it copied
    mended = copy(source, reopened(registry), "churn", digest)
    assert mended.sent_blobs == 1, "the damaged one"
    verify_bundle(open_bundle(reopened(registry), parse_reference("churn:1.0")))
    file.unlink()
    with pytest.raises(RegistryError):
        verify_bundle(open_bundle(reopened(registry), parse_reference("churn:1.0")))


def test_a_damaged_manifest_is_refused(mlflow: MlflowServer, source: StoreRegistry) -> None:
    digest, registry = make_bundle(source, model=b"another of its kind"), mlflow.fresh()
    copy(source, registry, "churn", digest, tag="1.0")
    file = on_disk(mlflow, digest)
    whole = file.read_bytes()
    for damaged in (whole[:-1], whole.replace(b"churn", b"chorn"), b""):
        file.write_bytes(damaged)
        with pytest.raises(BundleError, match=r"version 1 of .* is not the bundle"):
            open_bundle(reopened(registry), parse_reference("churn:1.0"))
        copy(source, reopened(registry), "churn", digest, tag="1.0")
        assert file.read_bytes() == whole, "a push mends it"
    assert [x.number for x in registry.catalogue.versions(registry.address.model)] == [1]


def test_a_digest_that_is_not_what_lies_there(mlflow: MlflowServer, source: StoreRegistry) -> None:
    first, second = make_bundle(source), make_bundle(source, version="2.0")
    registry = mlflow.fresh()
    copy(source, registry, "churn", first, tag="1.0")
    set_tag: dict[str, Any] = {"name": registry.address.model, "version": "1", "key": "mlship.digest"}
    mlflow.call("POST", "model-versions/set-tag", **set_tag, value=second)
    with pytest.raises(BundleError, match=r"version 1 of .* is not the bundle sha256:.* set by hand"):
        open_bundle(reopened(registry), parse_reference("churn:1.0"))
    copy(source, registry, "churn", second, tag="2.0")
    assert verify_bundle(open_bundle(reopened(registry), parse_reference("churn:2.0")))
    assert registry.read_tag("churn", "2.0") == Tagged(second, "2"), "the version that is it"
    mlflow.call("POST", "model-versions/set-tag", **set_tag, value="nonsense")
    assert reopened(registry).tags("churn") == {"2.0": second}
    with pytest.raises(RegistryError, match=r"1\.0 names version 1 of .* is no bundle"):
        registry.resolve(parse_reference("churn:1.0"))


def test_wrong_content_is_never_stored(mlflow: MlflowServer) -> None:
    registry, content = mlflow.fresh(), [b"x" * (1 << 20), b"y" * (1 << 20)]
    digest = sha256(b"".join(content))
    for wrong in ([content[0], b"z" * (1 << 20)], content[:1], [*content, b"z"]):
        with registry.announced("churn", sha256(b"m"), [digest]), pytest.raises(BundleError):
            registry.write_blob("churn", digest, 2 << 20, wrong)
        with registry.announced("churn", sha256(b"m"), [digest]):
            assert not registry.has_blob("churn", digest)
    with registry.announced("churn", sha256(b"m"), [digest]):
        assert registry.write_blob("churn", digest, 2 << 20, content)
    assert b"".join(content) == on_disk(mlflow, digest).read_bytes()
