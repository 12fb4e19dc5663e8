"""The settings of a target on a host: every one is explained in the example, and goes where it counts."""

from __future__ import annotations

import tomllib
from dataclasses import fields
from pathlib import Path

import msgspec
import pytest

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
