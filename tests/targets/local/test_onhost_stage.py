"""Staging: what is sent is hashed, unpacked once, verified each time, and compiled; nothing half shows."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "samples"))
from sample_signing import Signer

from mlship.trust.demand import Demand
from mlship_runtime.bundle.spec import read_spec
from mlship_runtime.trust.statement import statement_of, write_statement

RELEASE, STRANGER = Signer(11), Signer(12)


def signature(signer: Signer, bundle: Any) -> bytes:
    return signer.envelope(write_statement(statement_of(bundle.manifest, read_spec(bundle.spec))))


def test_layers_are_unpacked_once_and_verified_again(onhost, make_bundle) -> None:
    bundle = make_bundle()
    onhost.stage(1, bundle)
    again = onhost.stage(2, bundle)
    assert again["unpacked"] == []
    assert again["present"] == len(bundle.layers)
    assert [entry["state"] for entry in onhost("observe")["releases"]] == ["staged", "staged"]
    assert not onhost.incoming.exists(), "what was sent is not kept"


def test_staging_the_same_number_again_is_fine_and_another_bundle_is_not(onhost, make_bundle) -> None:
    bundle = make_bundle(2.0)
    onhost.stage(1, bundle)
    onhost.stage(1, bundle)
    other = make_bundle(3.0)
    onhost.send(other)
    assert "is another one" in onhost.refused("stage", **onhost.release(1, other))["what"]


def test_byte_code_is_compiled_beside_the_layers(lonely, make_bundle) -> None:
    lonely.stage(1, make_bundle())
    compiled = list((lonely.base / "pycache").rglob("boot.*.pyc"))
    assert [path.name for path in compiled] == [f"boot.{sys.implementation.cache_tag}.pyc"]
    assert not list((lonely.base / "layers").rglob("*.pyc"))


def test_byte_code_that_a_killed_command_did_not_write_is_made_up_for(lonely, make_bundle) -> None:
    bundle = make_bundle()
    lonely.stage(1, bundle)
    shutil.rmtree(lonely.base / "pycache")
    (lonely.base / "pycache" / ".part-killed").mkdir(parents=True)
    lonely.stage(2, bundle)
    assert len(list((lonely.base / "pycache").rglob("boot.*.pyc"))) == 1
    assert not list((lonely.base / "pycache").glob("*.part-*"))


def test_tools_that_nobody_uses_any_more_are_removed(lonely, make_bundle) -> None:
    old, new = lonely.base / "tools" / "old", lonely.base / "tools" / "new"
    for folder in (old, new):
        folder.mkdir(parents=True)
    os.utime(old, (0, 0))
    lonely.stage(1, make_bundle())
    assert not old.exists()
    assert new.exists(), "somebody may just be at it"


def test_tools_that_a_supervisor_runs_stay(lonely, make_bundle) -> None:
    used = lonely.base / "tools" / "used"
    shutil.copytree(lonely.boot.parent, used / "mlship_runtime")
    lonely.stage(1, make_bundle())
    type(lonely)(lonely.base, "tiny", boot=used / "mlship_runtime" / "boot.py")(
        "open", host="127.0.0.1", port=0
    )
    os.utime(used, (0, 0))
    lonely("remove", releases=[])
    assert used.exists()
    lonely("destroy", purge=False)


def test_values_of_variables_come_from_an_earlier_release_or_are_missed(lonely, make_bundle) -> None:
    bundle = make_bundle()
    lonely.stage(1, bundle, environment={"TOKEN": "hush"})
    again = lonely.release(2, bundle, environment={"TOKEN": "hush"})
    del again["environment"]
    lonely.send(bundle)
    lonely("stage", **again)
    record = json.loads((lonely.base / "services/tiny/releases/2.json").read_bytes())
    assert record["environment"] == {"TOKEN": "hush"}
    assert "hush" not in json.dumps(lonely("observe"))
    lonely("remove", releases=[1, 2])
    lonely.send(bundle)
    error = lonely.refused("stage", **again)
    assert "TOKEN" in error["what"]
    assert "record" in error["cause"]


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
    sent = onhost.incoming / model.digest[7:]
    flip(sent, 700)
    assert onhost.refused("stage", **onhost.release(1, bundle))["kind"] == "bundle"
    assert model.digest not in onhost("observe")["layers"]
    assert onhost("observe")["releases"] == []


def test_what_was_not_sent_is_named(onhost, make_bundle) -> None:
    bundle = make_bundle(8.0)
    assert "is not on the host" in onhost.refused("stage", **onhost.release(1, bundle))["what"]
    onhost.send(bundle)
    (onhost.incoming / bundle.layers[0].digest[7:]).unlink()
    assert "model.tar" in onhost.refused("stage", **onhost.release(1, bundle))["what"]


def test_what_a_killed_deploy_has_sent_is_told_and_goes_with_the_next_change(lonely, make_bundle) -> None:
    lonely.stage(1, make_bundle(2.0))
    assert not lonely("observe")["incoming"]
    lonely.send(make_bundle(3.0))
    (lonely.incoming / ("a" * 64 + ".part-1")).write_bytes(b"half")
    assert lonely("observe")["incoming"]
    lonely("remove", releases=[])
    assert not lonely.incoming.exists()
    lonely.send(make_bundle(4.0))
    lonely.stage(2, make_bundle(2.0))
    assert not lonely.incoming.exists()


def test_a_service_of_which_only_some_was_sent_is_there_and_can_be_destroyed(lonely, make_bundle) -> None:
    lonely.send(make_bundle())
    assert lonely("observe")["service"] == {"name": "tiny"}
    lonely("destroy", purge=False)
    assert lonely("observe")["service"] is None
    assert not lonely.incoming.exists()


def test_what_was_sent_for_another_service_stays_for_a_day(onhost, make_bundle) -> None:
    other = type(onhost)(onhost.base, onhost.service + "-other")
    bundle = make_bundle(11.0)
    other.send(bundle)
    old = other.incoming / ("b" * 64)
    old.write_bytes(b"left")
    os.utime(old, (0, 0))
    onhost.stage(1, bundle)
    assert not old.exists()
    other("stage", **other.release(1, bundle))
    other("destroy", purge=False)


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
        ("take", {}),
        ("remove", {"releases": [1]}),
        ("open", {"host": "127.0.0.1", "port": 0}),
        ("destroy", {"purge": False}),
    ):
        error = onhost.refused(verb, **fields | {"fence": 6})
        assert error["kind"] == "fenced", verb
    assert onhost("observe", fence=1)["fence"] == 7
    onhost.fence = 8
    assert onhost("take")["fence"] == 8
    assert onhost.refused("stage", **onhost.release(2, bundle) | {"fence": 7})["kind"] == "fenced"
    onhost("remove", releases=[1])


def flip(path, at: int = 20) -> None:
    """Change one bit of a file that cannot be written."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.chmod(0o644)
    path.write_bytes(bytes(data))


def test_a_demanded_signature_is_checked_and_remembered(onhost, make_bundle) -> None:
    bundle = make_bundle()
    demand = Demand((STRANGER.key, RELEASE.key), signature(RELEASE, bundle)).request()
    onhost.send(bundle)
    onhost("stage", demand=demand, **onhost.release(1, bundle))
    assert onhost.observed(1)["signedBy"] == RELEASE.key.id
    onhost.stage(2, bundle)  # as a rollback does, which demands nothing
    assert onhost.observed(2)["signedBy"] == RELEASE.key.id
    onhost.stage(3, make_bundle(3.0))
    assert onhost.observed(3)["signedBy"] is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda demand, other: demand.update(keys=[STRANGER.key.pem.decode()]), "with another key"),
        (lambda demand, other: demand.update(keys=[]), "with another key"),
        (lambda demand, other: demand.update(keys=["x"]), "public key"),
        (lambda demand, other: demand.update(signatures=[]), "came without a signature"),
        (lambda demand, other: demand.update(signatures=["{}"]), "the signature file"),
        (lambda demand, other: demand.update(signatures=["\udc80"]), "JSON"),
        (lambda demand, other: demand.update(signatures=7), "'signatures' is not a list"),
        (lambda demand, other: demand.update(signatures=[7]), "'signatures' is not a list of texts"),
        (lambda demand, other: demand.pop("keys"), "'keys' is missing"),
        (lambda demand, other: demand.update(revoked=[]), "'revoked' is not known here"),
        (lambda demand, other: demand.update(signatures=[other.decode()]), "is of another bundle"),
        (
            lambda demand, other: demand.update(
                signatures=[demand["signatures"][0].replace('"sig":"ME', '"sig":"MF')]
            ),
            "signature",
        ),
    ],
)
def test_without_it_nothing_is_unpacked(onhost, make_bundle, change, said: str) -> None:
    bundle, other = make_bundle(7.0), make_bundle(8.0)
    demand = Demand((RELEASE.key,), signature(RELEASE, bundle)).request()
    change(demand, signature(RELEASE, other))
    onhost.send(bundle)
    before = onhost("observe")
    error = onhost.refused("stage", demand=demand, **onhost.release(1, bundle))
    assert error["kind"] == "bundle"
    assert said in error["what"] + error.get("cause", ""), error
    assert onhost("observe")["layers"] == before["layers"]
    assert onhost("observe")["releases"] == []


def test_a_bad_signature_beside_a_good_one_does_no_harm(onhost, make_bundle) -> None:
    bundle = make_bundle()
    signatures = [signature(signer, bundle).decode() for signer in (STRANGER, RELEASE)]
    demand = {"keys": [RELEASE.key.pem.decode()], "signatures": signatures}
    onhost.send(bundle)
    onhost("stage", demand=demand, **onhost.release(1, bundle))
    assert onhost.observed(1)["signedBy"] == RELEASE.key.id
