"""The settings of a target on a host: every one is explained in the example, and goes where it counts."""

from __future__ import annotations

import tomllib
from dataclasses import fields
from pathlib import Path

import msgspec
import pytest

from mlship.config.external import External
from mlship.config.limits import ServingLimits
from mlship.target.hosted_settings import HostedSettings
from mlship_runtime.serving.limits import Limits, read_limits

EXAMPLE = Path(__file__).parents[3] / "targets/local/example.toml"


@pytest.fixture(scope="module")
def shown():
    return tomllib.loads(EXAMPLE.read_text(encoding="utf-8"))["targets"]["local"]


def test_the_example_shows_every_setting(shown):
    assert {field.name for field in msgspec.structs.fields(HostedSettings)} == set(shown) - {"type"}
    assert {field.name for field in msgspec.structs.fields(ServingLimits)} == set(shown["limits"])
    assert {field.name for field in msgspec.structs.fields(External)} == set(shown["external"])
    assert list(msgspec.convert(shown["external"], External).faults()) == []


def test_there_are_the_limits_that_the_runtime_keeps():
    names = {field.name for field in msgspec.structs.fields(ServingLimits)}
    assert names == {field.name for field in fields(Limits)}


def test_the_example_shows_the_defaults(shown):
    """But for sizes, which people round."""
    limits = read_limits(msgspec.convert(shown["limits"], ServingLimits).as_set())
    for field in fields(Limits):
        assert getattr(limits, field.name) == pytest.approx(getattr(Limits(), field.name), rel=0.08)


def test_limits_are_part_of_what_a_release_is():
    plain = HostedSettings()
    bound = msgspec.convert({"limits": {"header_time": 2, "body": "1 MB"}}, HostedSettings)
    assert "limits" not in plain.of_release()
    assert bound.of_release()["limits"] == {"headerTime": 2.0, "body": 1_000_000}


TLS = {"certificate": "/c", "key": "/k"}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "who may come in"),
        ({"tokens": "/t", "certificate": "/c"}, "only one of"),
        ({"client_ca": "/ca"}, "need TLS"),
        ({"tokens": "/t", "host": "0.0.0.0"}, "in the clear"),
        ({"tokens": "/t", "host": "example.org"}, "in the clear"),
        ({"tokens": "/t", "host": "0.0.0.0", "behind_tls": True}, None),
        ({"tokens": "/t", "host": "0.0.0.0", **TLS}, None),
        ({"client_ca": "/ca", "host": "0.0.0.0", **TLS}, None),
        ({"tokens": "/t"}, None),
    ],
)
def test_an_external_listener_that_is_open_or_shut_is_told_before_anything_is_done(given, says):
    found = [what for what, _ in msgspec.convert(given, External).faults()]
    assert len(found) == (1 if says else 0)
    assert says is None or says in found[0]


def test_where_it_listens_and_what_it_asks_for_make_a_release_another():
    here = HostedSettings(external=External(tokens="/t", port=8443))
    there = HostedSettings(external=External(tokens="/t", port=9443))
    assert here.of_release()["external"] == {
        "host": "127.0.0.1", "port": 8443, "tokens": "/t", "health": False, "metrics": False
    }  # fmt: skip
    assert here.of_release() != there.of_release()
    assert "external" not in HostedSettings().of_release()
