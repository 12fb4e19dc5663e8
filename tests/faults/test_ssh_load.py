"""Switches by SSH under load: no request fails, and every answer is of the release that it names."""

from __future__ import annotations

import pytest
from far_target import FarTarget
from sampling import Some
from steady_load import steady_load

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
