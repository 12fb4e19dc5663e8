"""What a host says of itself before a deploy, and what is made of it: each with what to do about it."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from mlship.config.external import External
from mlship.target import hosted_preflight
from mlship.target.deployment import Deployment
from mlship.target.hosted_preflight import preflight
from mlship.target.hosted_settings import HostedSettings

LAYER = SimpleNamespace(size=2_000_000, digest="sha256:" + "a" * 64, title="runtime.tar")
FILES = [
    SimpleNamespace(path="runtime/linux-amd64-cp311-gnu2.28/onnxruntime/capi/x.so"),
    *[SimpleNamespace(path="a")] * 9,
]
BUNDLE: Any = SimpleNamespace(
    manifest=SimpleNamespace(layers_for=lambda platform: [LAYER]),
    spec=SimpleNamespace(files={LAYER.digest: FILES}),
    absent=frozenset(),
)
GOOD = {
    "clock": 0.0, "user": "ann", "folder": "/srv", "freeBytes": 10**9, "freeFiles": 10**6, "readOnly": False,
    "noExec": False, "writable": True, "lacks": [], "libraries": [], "ports": [],
}  # fmt: skip
FAR = 5 * 365 * 86400.0


@pytest.fixture(autouse=True)
def _fitting(monkeypatch: pytest.MonkeyPatch) -> None:
    fits = ("linux-amd64-cp311-gnu2.28", "/usr/bin/python3")
    monkeypatch.setattr(hosted_preflight, "fitting_platform", lambda *_: fits)


def found(clock: float = 0.0, settings: HostedSettings | None = None, **facts: Any) -> list[Any]:
    """What it was asked, and the problems, of a host whose clock is `clock` seconds ahead and which differs
    from a good one in `facts`."""
    asked: dict[str, Any] = {}

    def call(verb: str, **given: Any) -> dict[str, Any]:
        asked.update(given)
        return {**GOOD, "clock": time.time() + clock, **facts}

    site: Any = SimpleNamespace(host=SimpleNamespace(name="far"), base="/srv/mlship", call=call)
    problems = preflight(site, BUNDLE, settings or HostedSettings(), Deployment(service="s"))
    return [asked, *problems]


def test_a_good_host_has_none() -> None:
    asked, *problems = found()
    assert problems == []
    assert asked == {"libraries": ["libstdc++.so.6"], "ports": []}


@pytest.mark.parametrize(
    ("facts", "what", "fix"),
    [
        ({"readOnly": True, "freeBytes": 0, "writable": False}, "the disk of `base` on far is", "Make it"),
        ({"freeBytes": 0}, "0 MB are free on far, 4 MB are needed", "Free some"),
        ({"freeFiles": 9}, "the disk of `base` on far takes 9 files more, 10 are needed", "Remove some"),
        ({"writable": False}, "ann may not write /srv on far", "sudo install -d -m 700 -o ann /srv/mlship"),
        ({"noExec": True}, "no program may run from /srv on far", "without noexec"),
        ({"lacks": ["ssl"]}, "the Python on far lacks ssl of its standard library", "not python3-minimal"),
        ({"libraries": ["libstdc++.so.6"]}, "libstdc++.so.6 is not on far, and a package", "libstdc++6"),
        ({"ports": [{"what": "port 80: taken", "fix": "Stop it"}]}, "port 80: taken (far)", "Stop it"),
    ],
)  # fmt: skip
def test_what_is_in_the_way(facts: dict[str, Any], what: str, fix: str) -> None:
    _, problem = found(**facts)
    assert problem.what.startswith(what)
    assert fix in problem.fix
    assert problem.blocks


def test_enough_is_enough() -> None:
    assert len(found(freeBytes=4_000_000, freeFiles=10)) == 1
    assert len(found(freeFiles=None)) == 1


def test_the_ports_that_a_first_deploy_opens_are_asked_for() -> None:
    outside = External(port=8443, tokens="/t")
    asked, *_ = found(settings=HostedSettings(port=8080, external=outside))
    assert asked["ports"] == [{"host": "127.0.0.1", "port": 8080}, {"host": "127.0.0.1", "port": 8443}]


@pytest.mark.parametrize(
    ("off", "says"),
    [(0.0, ""), (50.0, ""), (-50.0, ""), (FAR, "1,825 days ahead"), (-FAR, "behind"), (-600.0, "600 s be")],
)  # fmt: skip
def test_a_wrong_clock_is_a_warning(off: float, says: str) -> None:
    _, *problems = found(clock=off)
    assert [problem.blocks for problem in problems] == ([False] if says else [])
    assert all(says in problem.what for problem in problems)


def test_a_wrong_clock_is_in_the_way_of_certificates() -> None:
    tls = External(port=8443, client_ca="/ca", certificate="/c", key="/k")
    with_tls = HostedSettings(external=tls)
    assert [problem.blocks for problem in found(clock=-FAR, settings=with_tls)[1:]] == [True]
    assert [problem.blocks for problem in found(clock=600.0, settings=with_tls)[1:]] == [False]
