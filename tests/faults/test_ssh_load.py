"""Switches by SSH under load: no request fails, and every answer is of the release that it names; through a
tunnel, too."""

from __future__ import annotations

import json

import pytest
from far_target import FarTarget
from sampling import Some
from steady_clients import SteadyClients
from steady_load import PATH, steady_load
from tests.targets.ssh.test_tunnel import carried

pytestmark = [pytest.mark.faults, pytest.mark.server, pytest.mark.timeout(1800)]

RATE, KEPT, SWITCHES = 200, 8, 20


def test_switches_under_load(far: FarTarget, some: Some) -> None:
    switches = some.of(SWITCHES, cost=6)
    with steady_load(far.port, far.request(), RATE, KEPT) as told:
        for _ in range(switches):
            far.deploy(far.other())
    assert told["failures"] == []
    assert set(told["answers"]) == {far.bundles.first.digest, far.bundles.second.digest}
    assert sum(told["answers"].values()) > 20 * switches
    assert all(len(values) == 1 for values in told["values"].values()), "each digest gives its own answer"
    first, second = told["values"].values()
    assert first != second


def test_a_tunnel_through_switches(far: FarTarget) -> None:
    """Kept connections of a tunnel stay when another release goes live, and so do those who come anew."""
    body = json.loads(far.request())
    with (
        carried(far.adapter()) as (tunnel, said),
        SteadyClients([tunnel.opened.url], PATH, body, kept=3, once=1) as clients,
    ):
        for _ in range(2):
            far.deploy(far.other())
            clients.more()
    assert clients.failures == []
    assert clients.digests == {far.bundles.first.digest, far.bundles.second.digest}
    assert said == []
