"""The plug of a host is pulled while it is deployed to: what it served is back by itself when it boots, and
the next changing command finishes. Of two hosts, the other one serves on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from debian_service import PATH, Service
from sample_kills import ended
from steady_clients import SteadyClients

from mlship.target.conformance import Bundles, deploy, open_ledger
from mlship.target.journal import unfinished
from mlship.target.protocol import at_host

pytestmark = [pytest.mark.hosts, pytest.mark.server, pytest.mark.timeout(900)]

MIDST = 0.1  # seconds after which it is pulled, and the action is in its midst


@pytest.fixture(scope="module")
def bundles(kit: tuple[str, Bundles]) -> Bundles:
    return kit[1]


def deploy_and_fall(
    service: Service, bundle: Any, verb: str, at: str, fall: Callable[[], None]
) -> tuple[int, str]:
    """Deploy in a process of its own; `fall` in the midst of an action on the host `at`."""

    def work() -> None:
        adapter = service.adapter(connect_timeout=5.0)
        falling = at_host(adapter, at)
        run = falling.run

        def do(action: Any, given: Any) -> Any:
            if action.verb != verb:
                return run(action, given)
            timer = threading.Timer(MIDST, fall)
            timer.start()
            try:
                return run(action, given)
            finally:
                timer.join()

        falling.run = do  # type: ignore[method-assign]
        deploy(adapter, open_ledger(adapter), bundle)

    return ended(work)


@pytest.fixture(scope="module")
def one(debian: Any, bundles: Bundles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with debian.fresh("systemd") as host:
        service = Service(host, "root", tmp_path_factory.mktemp("one"))
        service.deploy(bundles.first)
        yield service


ALWAYS = ("shift",)  # the others are tried with what takes minutes


@pytest.mark.parametrize(
    "verb",
    [
        pytest.param(verb, marks=[] if verb in ALWAYS else pytest.mark.slow)
        for verb in ("send", "stage", "start", "shift", "settle", "remove")
    ],
)
def test_a_host_falls_while_it_is_deployed_to(one: Service, bundles: Bundles, verb: str) -> None:
    one.deploy(bundles.first)
    code, said = deploy_and_fall(one, bundles.second, verb, "", one.host.fall)
    assert (code in (8, 11), "\n" in said) == (True, False), (code, said)
    assert str(one.host.address_of("root")) in said
    one.host.start()
    assert one.serves() in (bundles.first.digest, bundles.second.digest)
    one.deploy(bundles.second)
    assert one.serves() == bundles.second.digest
    one.settled()
    assert not unfinished(open_ledger(one.adapter()))


@pytest.mark.parametrize("at", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_the_first_host_falls_while_traffic_moves(
    one: Service, debian: Any, bundles: Bundles, tmp_path: Path, at: int
) -> None:
    """With it goes the ledger. While its own wave moves, or the wave of the other."""
    one.purge()
    first, other = one.host, debian.host("bare")
    two = Service(first, "root", tmp_path, (other,))
    two.deploy(bundles.first)
    where = [end.url for end in two.adapter().observe().endpoints if other.ip in end.url]
    names = [str(host.address_of("root")) for host in (first, other)]
    with SteadyClients(where, PATH, {"inputs": bundles.first.golden()["inputs"]}) as clients:
        code, said = deploy_and_fall(two, bundles.second, "shift", names[at], first.fall)
        assert (code, "\n" in said) == (11, False), (code, said)
        assert names[0] in said
        clients.more()
        first.start()
        two.deploy(bundles.second)
    assert clients.failures == []
    assert clients.digests == {bundles.first.digest, bundles.second.digest}
    seen = two.adapter().observe()
    assert (seen.healthy, seen.problems) == (True, ())
    assert {host.seen.live.digest for host in seen.hosts} == {bundles.second.digest}
    assert not unfinished(open_ledger(two.adapter()))
    two.purge()
