"""A service in containers, on a real engine: switched under load, killed in parts, in the way of others."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from steady_clients import SteadyClients

from mlship.errors import MlshipError, TargetError, UnhealthyError
from mlship.target.again import wanted_again
from mlship.target.conformance import Bundles, deploy, open_ledger, serves
from mlship.target.golden import golden_of
from mlship.target.rollout import Rollout
from mlship_runtime.golden import rows_of

pytestmark = [pytest.mark.server, pytest.mark.timeout(1800)]

Make = Callable[..., Any]
_END = 300.0  # seconds: somebody else may have the processors
PATH = "/v2/models/conform/infer"


def until(holds: Callable[[], Any]) -> None:
    end = time.monotonic() + _END
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.1)


def answering(make: Make, digest: str) -> bool:
    try:
        return serves(make()) == digest and bool(make().observe().healthy)
    except MlshipError:
        return False


def clients(make: Make, bundles: Bundles) -> SteadyClients:
    """Two that ask for the first golden row of both bundles, which are the same."""
    asked = {x.digest: rows_of(golden_of(x), 0, 1) for x in (bundles.first, bundles.second)}
    right = {digest: float(rows["outputs"][0]["data"][0]) for digest, rows in asked.items()}
    (endpoint,) = make().observe().endpoints
    return SteadyClients([endpoint.url], PATH, {"inputs": asked[bundles.first.digest]["inputs"]}, right)


def kill(engine: Any, name: str) -> None:
    """As a crash: the engine does not know who did it."""
    os.kill(int(engine.docker("inspect", "--format", "{{.State.Pid}}", name)), signal.SIGKILL)


@pytest.mark.hosts
def test_switches_under_load_and_crashes(debian: Any, make_adapter: Make, bundles: Bundles) -> None:
    """No request fails in an upgrade and in a rollback. What crashes is there again, and serves the same."""
    ledger = open_ledger(make_adapter())
    deploy(make_adapter(), ledger, bundles.first)
    with clients(make_adapter, bundles) as asking:
        until(lambda: asking.count > 50)
        upgraded = deploy(make_adapter(), ledger, bundles.second)
        (kept,) = [r for r in upgraded.observed.releases if r is not upgraded.release]
        back = wanted_again(upgraded.observed, kept, keep=2)
        Rollout(make_adapter(), ledger, back, why="rollback").run()
        count = asking.count
        until(lambda: asking.count > count + 50)
    assert asking.failures == []
    ((digests),) = asking.answers.values()
    assert set(digests) == {bundles.first.digest, bundles.second.digest}
    assert make_adapter().observe().live_number == 3
    first = bundles.first.digest
    for name in ("mlship-kit-conform-r3-0", "mlship-kit-conform"):
        before = debian.engine.docker("inspect", "--format", "{{.State.StartedAt}}", name)
        kill(debian.engine, name)
        until(lambda: debian.engine.docker("inspect", "--format", "{{.State.StartedAt}}", name) != before)  # noqa: B023
        until(lambda: answering(make_adapter, first))
    assert make_adapter().observe().vitals.restarts == {"died": 1}
    debian.engine.docker("rm", "--force", "mlship-kit-conform")
    assert not make_adapter().observe().healthy
    deploy(make_adapter(), ledger, bundles.first)  # a front that somebody removed is made anew
    assert answering(make_adapter, first)
    assert make_adapter().observe().live_number == 3


@pytest.mark.faults
def test_how_containers_are_confined(debian: Any, make_adapter: Make, bundles: Bundles) -> None:
    """And what a release writes, sees and is called."""
    adapter = make_adapter(
        memory="512 MB", cpus=0.5, environment={"TOKEN": "hidden"}, labels={"team": "risk"}
    )
    rolled = deploy(adapter, open_ledger(adapter), bundles.first)
    assert rolled.proof is not None
    (release,) = json.loads(debian.engine.docker("inspect", "mlship-kit-conform-r1-0"))
    held, config = release["HostConfig"], release["Config"]
    assert (held["Memory"], held["NanoCpus"], held["PidsLimit"]) == (512_000_000, 500_000_000, 512)
    assert held["ReadonlyRootfs"]
    assert held["CapDrop"] == ["ALL"]
    assert held["NetworkMode"] == "none"
    assert held["RestartPolicy"]["Name"] == "unless-stopped"
    assert config["Labels"]["team"] == "risk"
    assert config["Labels"]["vnd.mlship.bundle"] == bundles.first.digest
    assert "TOKEN=hidden" in config["Env"]
    assert "hidden" not in json.dumps(config["Labels"])
    assert config["User"] == "65532:65532"
    until(lambda: '"healthy"' in debian.engine.docker("inspect", "--format", "{{json .State.Health.Status}}",
                                                      "mlship-kit-conform-r1-0"))  # fmt: skip
    with adapter.carry(adapter.observe(), 30.0) as stream:
        stream.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert stream.recv(12) == b"HTTP/1.1 200"
    (front,) = json.loads(debian.engine.docker("inspect", "mlship-kit-conform"))
    image = front["Image"]
    debian.engine.docker("tag", image, "strangers:own")
    Rollout(make_adapter(), open_ledger(adapter), None, why="destroy").run()
    assert image == debian.engine.docker("inspect", "--format", "{{.Id}}", "strangers:own").strip()
    debian.engine.docker("rmi", "strangers:own")


@pytest.mark.faults
def test_a_model_alone_is_sent_again(make_adapter: Make, bundles: Bundles) -> None:
    adapter = make_adapter()
    first = deploy(adapter, open_ledger(adapter), bundles.first).actions[0]
    second = deploy(adapter, open_ledger(adapter), bundles.second).actions[0]
    assert first.verb == second.verb == "send"
    assert second.bytes < first.bytes / 20


@pytest.mark.faults
def test_what_ends_in_the_bake_is_taken_back(debian: Any, make_adapter: Make, bundles: Bundles) -> None:
    adapter = make_adapter(bake=120.0)
    ledger = open_ledger(adapter)
    deploy(make_adapter(), ledger, bundles.first)
    name = "mlship-kit-conform-r2-0"

    policy = ("inspect", "--format", "{{.HostConfig.RestartPolicy.Name}}", name)

    def crash() -> None:
        until(lambda: "unless" in debian.engine.docker(*policy, check=False))
        kill(debian.engine, name)

    thread = threading.Thread(target=crash)
    thread.start()
    with pytest.raises(UnhealthyError, match="did not stay up"):
        deploy(adapter, ledger, bundles.second)
    thread.join()
    assert answering(make_adapter, bundles.first.digest)


@pytest.mark.faults
def test_what_is_anothers_is_told_and_never_touched(
    debian: Any, make_adapter: Make, bundles: Bundles
) -> None:
    """A container with the front's name, one with a release's, a volume; and one with our labels alone."""
    docker = debian.engine.docker
    docker("tag", "debian-host", "strangers:base")
    made = ("--network", "none", "strangers:base", "sleep", "3600")
    docker("run", "--detach", "--name", "mlship-kit-conform", *made)
    docker("create", "--name", "mlship-kit-conform-r1-0", *made)
    docker("volume", "create", "mlship-kit-conform")
    labels = ["--label", "vnd.mlship.target=kit", "--label", "vnd.mlship.service=conform"]
    docker("run", "--detach", "--name", "web", *labels, "--label", "vnd.mlship.release=9", *made)
    adapter = make_adapter()
    told = [problem.what for problem in adapter.check(bundles.first)]
    assert [text.split(" is there")[0] for text in told] == [
        "a container mlship-kit-conform",
        "a container mlship-kit-conform-r1-0",
        "a volume mlship-kit-conform",
    ]
    assert not adapter.observe().exists
    with pytest.raises(UnhealthyError, match="volume mlship-kit-conform is not of this service"):
        deploy(adapter, open_ledger(adapter), bundles.first)
    names = docker("container", "ls", "--all", "--format", "{{.Names}} {{.State}}")
    assert sorted(names.split("\n"))[1:] == [
        "mlship-kit-conform running", "mlship-kit-conform-r1-0 created", "web running",
    ]  # fmt: skip
    docker("rm", "--force", "mlship-kit-conform", "mlship-kit-conform-r1-0", "web")
    docker("volume", "rm", "mlship-kit-conform")
    docker("rmi", "strangers:base")


@pytest.mark.faults
def test_a_port_that_is_taken(debian: Any, make_adapter: Make, bundles: Bundles) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        adapter = make_adapter(port=port)
        (problem,) = adapter.check(bundles.first)
        assert f"port {port}" in problem.what
        with pytest.raises(UnhealthyError, match=f"the front cannot have port {port}"):
            deploy(adapter, open_ledger(adapter), bundles.first)
    assert not make_adapter().observe().exists


@pytest.mark.faults
def test_an_image_that_somebody_removed(debian: Any, make_adapter: Make, bundles: Bundles) -> None:
    """The live release serves on; a rollback says that it is gone, a deploy brings it again."""
    ledger = open_ledger(make_adapter())
    for bundle in (bundles.first, bundles.second, bundles.first):
        deploy(make_adapter(), ledger, bundle)
    seen = make_adapter().observe()
    old = seen.release(2)
    debian.engine.docker("rm", "mlship-kit-conform-r2-0")
    debian.engine.docker("rmi", f"mlship-kit/conform:{old.settings['image'][7:19]}")
    with pytest.raises(TargetError, match="no longer on"):
        Rollout(make_adapter(), ledger, wanted_again(seen, old, keep=2), why="rollback").run()
    assert answering(make_adapter, bundles.first.digest)
    deploy(make_adapter(), ledger, bundles.second)
    assert answering(make_adapter, bundles.second.digest)
