"""The disk of a host, before anything is sent to it."""

from __future__ import annotations

from types import SimpleNamespace

from mlship.target.deployment import Deployment
from mlship.target.hosted_platform import _room

LAYER = SimpleNamespace(size=2_000_000, digest="sha256:" + "a" * 64)
BUNDLE = SimpleNamespace(manifest=SimpleNamespace(layers_for=lambda platform: [LAYER]))


def problems(**facts) -> list[str]:
    site = SimpleNamespace(host=SimpleNamespace(name="here"), call=lambda verb: facts)
    return [problem.what for problem in _room(site, BUNDLE, "any", Deployment(service="s"))]


def test_a_read_only_disk_is_said_to_be_one() -> None:
    assert problems(readOnly=True, freeBytes=0) == ["the disk of `base` on here is read-only"]


def test_a_full_disk_is_said_to_be_full() -> None:
    assert problems(readOnly=False, freeBytes=0) == ["0 MB are free on here, 4 MB are needed"]
    assert problems(readOnly=False, freeBytes=4_000_000) == []
