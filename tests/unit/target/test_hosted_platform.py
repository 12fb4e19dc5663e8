"""Which platform of a bundle fits an interpreter on a host, from what that interpreter says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlship.errors import TargetError
from mlship.host.local import LocalHost
from mlship.host.protocol import Completed, Unreached
from mlship.host.site import Site
from mlship.target.hosted_platform import fitting_platform

LINUX = ["linux", "x86_64", ["glibc", "2.31"], "", [3, 11]]
MUSL = ["linux", "x86_64", ["libc", "2.31"], "", [3, 11]]
MAC = ["darwin", "arm64", ["", ""], "13.4", [3, 11]]


class Saying(LocalHost):
    """A host whose every Python says the same of itself."""

    def __init__(self, facts: list[Any]) -> None:
        self.facts = facts

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float | None = None) -> Completed:
        return Completed(0, json.dumps(["/usr/bin/python3", self.facts]).encode(), b"")


def fitting(tmp_path: Path, facts: list[Any], *platforms: str) -> str:
    spec = SimpleNamespace(runtime={"platforms": dict.fromkeys(platforms)})
    bundle: Any = SimpleNamespace(spec=spec, reference="churn:1")
    return fitting_platform(Site(Saying(facts), str(tmp_path), "churn", "python3"), bundle, "")[0]


@pytest.mark.parametrize(
    ("facts", "platform"),
    [
        (LINUX, "linux-amd64-cp311-gnu2.28"),
        (LINUX, "linux-amd64-cp311-gnu2.31"),
        (MAC, "macos-arm64-cp311-13"),
    ],
)
def test_what_fits(tmp_path: Path, facts: list[Any], platform: str) -> None:
    assert fitting(tmp_path, facts, "linux-s390x-cp311-gnu2.28", platform) == platform


@pytest.mark.parametrize(
    ("facts", "platform"),
    [
        (LINUX, "linux-amd64-cp311-gnu2.34"),
        (LINUX, "linux-amd64-cp312-gnu2.28"),
        (MUSL, "linux-amd64-cp311-gnu2.28"),
        (MAC, "macos-arm64-cp311-14"),
    ],
)
def test_what_does_not_is_told_with_both_sides(tmp_path: Path, facts: list[Any], platform: str) -> None:
    with pytest.raises(TargetError) as refused:
        fitting(tmp_path, facts, platform)
    assert platform in refused.value.what
    assert "Python 3.11" in refused.value.cause


def test_a_machine_that_nobody_gets_into_is_said_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(*_: Any, **__: Any) -> Completed:
        raise Unreached("it lets nobody in")

    monkeypatch.setattr(Saying, "run", nobody)
    with pytest.raises(Unreached, match="lets nobody in"):
        fitting(tmp_path, LINUX, "linux-amd64-cp311-gnu2.28")
