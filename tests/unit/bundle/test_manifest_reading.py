"""The manifest's reader: takes whole bundles, refuses all else, and never fails otherwise."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_bundle import LINUX, MACOS, make_layers, make_spec

from mlship.bundle.manifest import build_config, build_manifest, spec_descriptor
from mlship.digest import sha256
from mlship_runtime.bundle import canonical
from mlship_runtime.bundle.manifest import read_manifest
from mlship_runtime.errors import InvalidBundle

Json = Any


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    layers = make_layers(tmp_path_factory.mktemp("layers"))
    spec = canonical.encode(make_spec(layers))
    descriptors = [spec_descriptor(spec), *(layer.descriptor() for layer in reversed(layers))]
    return build_manifest("churn", "1.0", descriptors, build_config("churn", "1.0", descriptors))


def test_digest_of_a_fixed_bundle(data: bytes) -> None:
    """A change here gives every bundle another digest, and needs a reason."""
    assert sha256(data) == "sha256:56d05f6dd67a948720a6d7b4c95e4b95f32849debf42f02255ab1f78e7dace26"


def test_layers_in_order(data: bytes) -> None:
    manifest = read_manifest(data)
    assert [layer.role for layer in manifest.layers] == [
        "model", "reduction", "runtime", "runtime", "runtime", "golden", "spec",
    ]  # fmt: skip
    assert [layer.platform for layer in manifest.layers] == ["", "", "any", LINUX, MACOS, "", ""]
    assert manifest.platforms == (LINUX, MACOS)
    assert (manifest.name, manifest.version) == ("churn", "1.0")
    assert manifest.spec_layer.title == "mlship.json"
    assert not manifest.spec_layer.is_tar
    assert manifest.blobs == (manifest.config, *manifest.layers)


def test_layers_for_a_platform(data: bytes) -> None:
    manifest = read_manifest(data)
    assert [layer.title for layer in manifest.layers_for(LINUX)] == [
        "model.tar", "reduction.tar", "any.tar", "runtime-linux.tar", "golden.tar", "mlship.json",
    ]  # fmt: skip
    assert len(manifest.layers_for("linux-s390x-cp311-gnu2.28")) == 5


def test_it_is_modelpack(data: bytes) -> None:
    document = json.loads(data)
    assert document["schemaVersion"] == 2
    assert document["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert document["artifactType"] == "application/vnd.cncf.model.manifest.v1+json"
    assert document["config"]["mediaType"] == "application/vnd.cncf.model.config.v1+json"
    assert [layer["mediaType"] for layer in document["layers"]] == [
        "application/vnd.cncf.model.weight.v1.tar",
        "application/vnd.cncf.model.code.v1.tar",
        "application/vnd.cncf.model.code.v1.tar",
        "application/vnd.cncf.model.code.v1.tar",
        "application/vnd.cncf.model.code.v1.tar",
        "application/vnd.cncf.model.dataset.v1.tar",
        "application/vnd.mlship.spec.v1+json",
    ]
    assert [layer["annotations"]["org.cncf.model.filepath"] for layer in document["layers"]] == [
        "model", "reduction", "runtime/any", f"runtime/{LINUX}", f"runtime/{MACOS}", "golden", "mlship.json",
    ]  # fmt: skip


def annotate(key: str, value: str, layer: int = 0) -> Callable[[Json], object]:
    return lambda d: d["layers"][layer]["annotations"].update({key: value})


CHANGES: dict[str, Callable[[Json], object]] = {
    "is 1, not 2": lambda d: d.update(schemaVersion=1),
    "newer mlship": lambda d: d.update(schemaVersion=3),
    "'schemaVersion' is not a whole number": lambda d: d.update(schemaVersion=True),
    "'mediaType' is not": lambda d: d.update(mediaType="application/vnd.oci.image.index.v1+json"),
    "'artifactType' is missing": lambda d: d.pop("artifactType"),
    "'subject' is not known here": lambda d: d.update(subject={}),
    "'urls' is not known here": lambda d: d["layers"][0].update(urls=["https://elsewhere/"]),
    "config is of another media type": lambda d: d["config"].update(mediaType="application/json"),
    "'digest' is not a sha256 digest": lambda d: d["layers"][1].update(digest="sha256:" + "A" * 64),
    "layers[2]: 'digest'": lambda d: d["layers"][2].update(digest="../../etc/passwd"),
    "'size' is not a whole number": lambda d: d["layers"][0].update(size=-1),
    "layers[1]: 'size'": lambda d: d["layers"][1].update(size=1.0),
    "config: 'size'": lambda d: d["config"].update(size=1 << 60),
    "is 'cards': unknown, or of a newer mlship": annotate("vnd.mlship.role", "cards"),
    "'mediaType' is not application/vnd.cncf.model.weight": lambda d: d["layers"][0].update(mediaType="x"),
    "stands on runtime layers": annotate("vnd.mlship.platform", LINUX),
    "is not a plain file name": annotate("org.opencontainers.image.title", "../model.tar"),
    "'vnd.mlship.platform' is not a plain": annotate("vnd.mlship.platform", "../x", 3),
    "'org.cncf.model.filepath' is not 'model'": annotate("org.cncf.model.filepath", "/etc"),
    "is not a text": lambda d: d["annotations"].update(x=1),
    "does not name its bundle": lambda d: d.update(annotations={}),
    "out of order": lambda d: d["layers"].reverse(),
    "no model layer": lambda d: d["layers"].pop(0),
    "no golden layer": lambda d: d["layers"].pop(5),
    "no spec layer": lambda d: d["layers"].pop(),
    "more than one golden layer": lambda d: d["layers"].insert(5, copy.deepcopy(d["layers"][5])),
    "the same digest": lambda d: d["layers"][3].update(digest=d["layers"][2]["digest"]),
    "the same title": annotate("org.opencontainers.image.title", "any.tar", 3),
    "'layers' is not a list": lambda d: d.update(layers={}),
    "layers[0] is not an object": lambda d: d.update(layers=[1]),
    "no model": lambda d: d.update(layers=[]),
}


@pytest.mark.parametrize("why", CHANGES)
def test_refused(data: bytes, why: str) -> None:
    document = json.loads(data)
    CHANGES[why](document)
    with pytest.raises(InvalidBundle) as caught:
        read_manifest(canonical.encode(document))
    assert why in str(caught.value)


@given(st.data())
def test_mutated_bytes(data: bytes, draw: st.DataObject) -> None:
    mutated = bytearray(data)
    for _ in range(draw.draw(st.integers(1, 4))):
        place = draw.draw(st.integers(0, len(mutated)))
        mutated[place : place + draw.draw(st.integers(0, 3))] = draw.draw(st.binary(max_size=3))
    accepted(bytes(mutated))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 1 << 62) | st.text(max_size=5) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)


@given(st.data())
def test_mutated_values(data: bytes, draw: st.DataObject) -> None:
    document = json.loads(data)
    place: Json = document
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = draw.draw(st.sampled_from(keys))
        if not (isinstance(place[key], dict | list) and place[key] and draw.draw(st.booleans())):
            break
        place = place[key]
    place[key] = draw.draw(json_values)
    try:
        changed = canonical.encode(document)
    except InvalidBundle:
        return  # an infinite number is no JSON
    accepted(changed)


def accepted(data: bytes) -> None:
    """Read, or refused by the one error; anything else fails the test."""
    try:
        manifest = read_manifest(data)
    except InvalidBundle:
        return
    assert manifest.spec_layer.role == "spec"


def test_build_refuses_what_makes_no_bundle(tmp_path: Path) -> None:
    layers = make_layers(tmp_path)
    with pytest.raises(Exception, match="no spec layer") as caught:
        build_manifest("churn", "1", [layer.descriptor() for layer in layers], b"{}")
    assert getattr(caught.value, "exit_code", None) == 4


def with_cards(data: bytes, count: int, before: int = -1) -> bytes:
    document = json.loads(data)
    for number in range(count):
        notes = {
            "org.opencontainers.image.title": f"card-{number}.tar",
            "org.cncf.model.filepath": "card",
            "vnd.mlship.role": "card",
        }
        described = {"mediaType": "application/vnd.cncf.model.doc.v1.tar", "size": 1, "annotations": notes}
        document["layers"].insert(before, {**described, "digest": sha256(b"card %d" % number)})
    return canonical.encode(document)


def test_a_bundle_may_have_a_card(data: bytes) -> None:
    manifest = read_manifest(with_cards(data, 1))
    assert [layer.role for layer in manifest.layers][-3:] == ["golden", "card", "spec"]
    assert "card" in [layer.role for layer in manifest.layers_for(LINUX)]
    with pytest.raises(InvalidBundle, match="more than one card layer"):
        read_manifest(with_cards(data, 2))
    with pytest.raises(InvalidBundle, match="out of order"):
        read_manifest(with_cards(data, 1, before=0))


def with_shards(data: bytes, count: int) -> bytes:
    document = json.loads(data)
    graph = document["layers"][0]
    for number in range(count):
        shard = copy.deepcopy(graph)
        shard["digest"] = sha256(b"%d" % number)
        shard["annotations"]["org.opencontainers.image.title"] = f"shard-{number}.tar"
        document["layers"].insert(1, shard)
    return canonical.encode(document)


def test_a_model_may_have_several_layers(data: bytes) -> None:
    manifest = read_manifest(with_shards(data, 64))
    assert [layer.role for layer in manifest.layers].count("model") == 65
    assert len(manifest.layers_for(LINUX)) == 70


def test_no_more_layers_than_an_image_can_have(data: bytes) -> None:
    """Of seven layers, one is of the other platform."""
    assert len(read_manifest(with_shards(data, 119)).layers_for(LINUX)) == 125
    with pytest.raises(InvalidBundle, match="has 126 layers for linux"):
        read_manifest(with_shards(data, 120))
