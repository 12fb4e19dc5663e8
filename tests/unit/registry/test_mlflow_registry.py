"""The registry of a real MLflow server: bundles in and out, and tags."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mlflow_servers import MlflowServer, at
from sample_bundle import make_bundle, make_layers, make_spec, write_bundle

from mlship.bundle.open import open_bundle, verify_bundle
from mlship.digest import hex_of, sha256
from mlship.errors import RegistryError, TagMovedError, UsageError
from mlship.ops.context import Context
from mlship.ops.gc import gc
from mlship.reference import parse_reference
from mlship.registry.mlflow.registry import MlflowRegistry
from mlship.registry.over_store import StoreRegistry, open_folder
from mlship.registry.protocol import Tagged
from mlship.registry.transfer import copy

pytestmark = [pytest.mark.server, pytest.mark.timeout(600)]

TYPE = "application/vnd.example+json"


@pytest.fixture
def source(tmp_path: Path) -> StoreRegistry:
    return open_folder(f"dir://{tmp_path}/source")


def reopened(registry: MlflowRegistry) -> MlflowRegistry:
    """As another process has it: nothing is remembered."""
    return at(registry.url)


def on_disk(server: MlflowServer, digest: str) -> Path:
    """The file that the server keeps a blob in, of the bundle that has it alone."""
    (found,) = server.artifacts.rglob(hex_of(digest))
    return found


def test_there_and_back(mlflow: MlflowServer, source: StoreRegistry, tmp_path: Path) -> None:
    digest = make_bundle(source, model=b"there and back")
    kept = source.attach("churn", digest, TYPE, b"a signature")
    registry = mlflow.fresh()
    done = copy(source, registry, "churn", digest, tag="1.0")
    assert (done.sent_blobs, done.present_blobs, done.sent_attachments) == (8, 0, 1)
    there = reopened(registry)
    assert there.names() == ["churn"]
    assert there.digests("churn") == [digest]
    assert there.tags("churn") == {"1.0": digest}
    assert {(x.tag, x.digest) for x in there.listed()} == {("", digest), ("1.0", digest)}
    assert there.listed("churn") == there.listed()
    assert there.resolve(parse_reference("churn:1")) == digest, "the number of a version"
    assert there.read_manifest("churn", digest) == source.read_manifest("churn", digest)
    assert there.attachments("churn", digest) == [kept]
    assert verify_bundle(open_bundle(there, parse_reference("churn:1.0"))).files == 7
    back = open_folder(f"dir://{tmp_path}/back")
    assert copy(there, back, "churn", digest, tag="1.0").sent_attachments == 1
    verify_bundle(open_bundle(back, parse_reference("churn:1.0")))
    assert back.read_attachment("churn", kept) == b"a signature"


def test_the_second_push_sends_nothing(mlflow: MlflowServer, source: StoreRegistry) -> None:
    digest, registry = make_bundle(source), mlflow.fresh()
    copy(source, registry, "churn", digest, tag="1.0")
    assert mlflow.proxy
    mlflow.proxy.seen.clear()
    again = copy(source, reopened(registry), "churn", digest, tag="prod")
    assert (again.sent_blobs, again.present_blobs) == (0, 8)
    assert mlflow.proxy.of("PUT", "") == []
    versions = registry.catalogue.versions(registry.address.model)
    assert [version.number for version in versions] == [1]
    assert reopened(registry).tags("churn") == {"1.0": digest, "prod": digest}


def test_two_registered_models_share_a_bundle(mlflow: MlflowServer, source: StoreRegistry) -> None:
    digest = make_bundle(source, model=b"shared")
    one, other = mlflow.fresh(), mlflow.fresh()
    assert copy(source, one, "churn", digest, tag="1.0").sent_blobs == 8
    assert copy(source, other, "churn", digest, tag="2.0").sent_blobs == 0
    assert (one.tags("churn"), other.tags("churn")) == ({"1.0": digest}, {"2.0": digest})
    mlflow.call("DELETE", "registered-models/delete", name=one.address.model)
    assert verify_bundle(open_bundle(other, parse_reference("churn:2.0"))).files == 7


def test_what_mlflow_shows(mlflow: MlflowServer, source: StoreRegistry) -> None:
    digest, registry = make_bundle(source), mlflow.fresh()
    copy(source, registry, "churn", digest, tag="prod")
    model = registry.address.model
    found = mlflow.call("GET", f"model-versions/get?name={model}&version=1")["model_version"]
    tags = {tag["key"]: tag["value"] for tag in found["tags"]}
    assert tags["mlship.digest"] == digest
    assert tags["mlship.name"] == "churn"
    assert tags["mlship.version"] == "1.0"
    assert tags["mlship.parity.decisions_equal"] == "true"
    assert tags["mlship.parity.rows"] == "2"
    registered = mlflow.call("GET", f"registered-models/get?name={model}")["registered_model"]
    assert registered["aliases"] == [{"alias": "prod", "version": "1"}]
    folder = on_disk(mlflow, digest).parents[2]
    assert json.loads((folder / "index.json").read_bytes())["manifests"][0]["digest"] == digest
    assert not [x for x in folder.rglob("*") if x.suffix in (".pkl", ".pickle", ".joblib")]


def test_every_tag_is_set_moved_and_removed(mlflow: MlflowServer, source: StoreRegistry) -> None:
    first, second = make_bundle(source), make_bundle(source, version="2.0")
    registry = mlflow.fresh()
    for digest in (first, second):
        copy(source, registry, "churn", digest)
    for tag in ("prod", "1.4.0", "latest", "v3", "20261121"):
        set_moved_and_removed(registry, tag, first, second)


def set_moved_and_removed(registry: MlflowRegistry, tag: str, first: str, second: str) -> None:
    tagged = registry.set_tag("churn", tag, first, None)
    assert registry.tags("churn") == {tag: first}
    assert registry.read_tag("churn", tag) == tagged == Tagged(first, "1")
    with pytest.raises(TagMovedError):
        registry.set_tag("churn", tag, second, None)
    moved = registry.set_tag("churn", tag, second, tagged)
    assert registry.resolve(parse_reference(f"churn:{tag}")) == second
    with pytest.raises(TagMovedError):
        registry.delete_tag("churn", tag, tagged)
    registry.delete_tag("churn", tag, moved)
    assert registry.tags("churn") == {}
    assert registry.read_tag("churn", tag) is None


def test_two_bundles_in_one_registered_model(
    mlflow: MlflowServer, source: StoreRegistry, tmp_path: Path
) -> None:
    registry, layers = mlflow.fresh(), make_layers(tmp_path)
    copy(source, registry, "churn", make_bundle(source), tag="1.0")
    other = write_bundle(source, layers, make_spec(layers, name="other"), name="other")
    with pytest.raises(RegistryError, match="its versions are the bundle churn"):
        copy(source, registry, "other", other, tag="1.0")
    assert registry.names() == ["churn"]
    assert not list(mlflow.artifacts.rglob(hex_of(other))), "nothing was sent"


def test_what_it_does_not_do(mlflow: MlflowServer) -> None:
    registry = mlflow.fresh()
    with pytest.raises(UsageError, match="takes whole bundles only"):
        registry.write_blob("churn", sha256(b"x"), 1, [b"x"])
    with pytest.raises(UsageError, match="keeps its content by its own means"):
        gc(Context(), registry.url)
    for reference in ("churn:1.0", "churn:7", f"churn@{sha256(b'x')}"):
        with pytest.raises(RegistryError, match="has no bundle churn: it is empty"):
            registry.resolve(parse_reference(reference))
    assert registry.attachments("churn", sha256(b"x")) == []
