"""Staging: what is sent is hashed, unpacked once, verified each time, and compiled; nothing half shows."""

from __future__ import annotations

import sys

from mlship_runtime.bundle.manifest import digest_of


def test_layers_are_unpacked_once_and_verified_again(onhost, make_bundle) -> None:
    bundle = make_bundle()
    onhost.stage(1, bundle)
    again = onhost.stage(2, bundle)
    assert again["unpacked"] == []
    assert again["present"] == len(bundle.layers)
    assert [entry["state"] for entry in onhost("observe")["releases"]] == ["staged", "staged"]
    assert not any((onhost.base / "incoming").iterdir()), "what was sent is not kept"


def test_staging_the_same_number_again_is_fine_and_another_bundle_is_not(onhost, make_bundle) -> None:
    bundle = make_bundle(2.0)
    onhost.stage(1, bundle)
    onhost.stage(1, bundle)
    other = make_bundle(3.0)
    onhost.send(other)
    assert "is another one" in onhost.refused("stage", **onhost.release(1, other))["what"]


def test_byte_code_is_compiled_beside_the_layers(onhost, make_bundle) -> None:
    onhost.stage(1, make_bundle())
    compiled = list((onhost.base / "pycache").rglob("boot.*.pyc"))
    assert [path.name for path in compiled] == [f"boot.{sys.implementation.cache_tag}.pyc"]
    assert not list((onhost.base / "layers").rglob("*.pyc"))


def test_a_damaged_layer_is_refused_and_sent_again_the_next_time(onhost, make_bundle) -> None:
    bundle = make_bundle(200.0)
    onhost.stage(1, bundle)
    model = onhost.base / "layers" / bundle.layers[0].digest[7:] / "model" / "model.onnx"
    flip(model)
    error = onhost.refused("stage", **onhost.release(2, bundle))
    assert error["kind"] == "bundle"
    assert "model/model.onnx" in error["what"]
    assert bundle.layers[0].digest not in onhost("observe")["layers"]
    assert onhost.stage(2, bundle)["unpacked"] == [bundle.layers[0].digest]


def test_a_tar_that_is_not_its_digest_leaves_nothing(onhost, make_bundle) -> None:
    bundle = make_bundle(7.0)
    onhost.send(bundle)
    model = bundle.layers[0]
    sent = onhost.base / "incoming" / model.digest[7:]
    flip(sent, 700)
    assert onhost.refused("stage", **onhost.release(1, bundle))["kind"] == "bundle"
    assert model.digest not in onhost("observe")["layers"]
    assert onhost("observe")["releases"] == []


def test_what_was_not_sent_is_named(onhost, make_bundle) -> None:
    bundle = make_bundle(8.0)
    assert "is not on the host" in onhost.refused("stage", **onhost.release(1, bundle))["what"]
    onhost.send(bundle)
    (onhost.base / "incoming" / bundle.layers[0].digest[7:]).unlink()
    assert "model.tar" in onhost.refused("stage", **onhost.release(1, bundle))["what"]


def test_a_document_is_received_only_as_what_it_is(onhost) -> None:
    incoming = onhost.base / "incoming"
    incoming.mkdir(exist_ok=True)
    (incoming / "some").write_bytes(b"{}")
    digest = digest_of(b"{}")
    onhost("receive", file="some", digest=digest, size=2)
    assert (onhost.base / "blobs" / digest[7:]).read_bytes() == b"{}"
    onhost("receive", file="some", digest=digest, size=2)
    (incoming / "other").write_bytes(b"[]")
    assert onhost.refused("receive", file="other", digest=digest, size=2)["kind"] == "bundle"
    assert onhost.refused("receive", file="../fence", digest=digest, size=2)["kind"] == "site"


def test_removing_takes_layers_that_nobody_uses(lonely, make_bundle) -> None:
    first, second = make_bundle(2.0), make_bundle(3.0)
    lonely.stage(1, first)
    lonely.stage(2, second)
    lonely("remove", releases=[1])
    seen = lonely("observe")
    assert [entry["number"] for entry in seen["releases"]] == [2]
    assert set(seen["layers"]) == {layer.digest for layer in second.layers}
    lonely("remove", releases=[1])
    lonely("remove", releases=[2], keep=[layer.digest for layer in second.layers[1:]])
    assert set(lonely("observe")["layers"]) == {layer.digest for layer in second.layers[1:]}


def test_layers_of_another_service_stay(onhost, make_bundle) -> None:
    bundle = make_bundle(9.0)
    other = type(onhost)(onhost.base, onhost.service + "-other")
    onhost.stage(1, bundle)
    other.stage(1, bundle)
    onhost("destroy", purge=True)
    assert set(other("observe")["layers"]) >= {layer.digest for layer in bundle.layers}
    other("destroy", purge=False)
    assert bundle.layers[0].digest not in onhost("observe")["layers"]


def test_destroy_with_purge_leaves_nothing(lonely, make_bundle) -> None:
    lonely.stage(1, make_bundle())
    lonely("destroy", purge=True)
    assert not lonely.base.exists()


def test_a_lower_fence_number_is_refused(onhost, make_bundle) -> None:
    bundle = make_bundle()
    onhost.send(bundle)
    onhost.fence = 7
    onhost("stage", **onhost.release(1, bundle))
    for verb, fields in (
        ("stage", onhost.release(2, bundle)),
        ("remove", {"releases": [1]}),
        ("open", {"host": "127.0.0.1", "port": 0}),
        ("destroy", {"purge": False}),
    ):
        error = onhost.refused(verb, **fields | {"fence": 6})
        assert error["kind"] == "fenced", verb
    assert onhost("observe", fence=1)["fence"] == 7
    onhost.fence = 8
    onhost("remove", releases=[1])


def flip(path, at: int = 20) -> None:
    """Change one bit of a file that cannot be written."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.chmod(0o644)
    path.write_bytes(bytes(data))
