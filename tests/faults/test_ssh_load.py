"""Switches by SSH under load: no request fails, and every answer is of the release that it names."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from far_target import FarTarget
from sampling import Some

pytestmark = [pytest.mark.faults, pytest.mark.server, pytest.mark.timeout(1800)]

LOAD = Path(__file__).parents[1] / "samples" / "steady_load.py"
RATE, KEPT, SWITCHES = 200, 8, 20


def test_switches_under_load(far: FarTarget, some: Some) -> None:
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [sys.executable, str(LOAD), str(far.port), str(RATE), str(KEPT)], stdin=pipe, stdout=pipe, text=True
    )
    assert process.stdin
    assert process.stdout
    try:
        process.stdin.write(far.request().decode() + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "on\n"
        switches = some.of(SWITCHES, cost=6)
        for _ in range(switches):
            far.deploy(far.other())
        told = json.loads(process.communicate(timeout=120)[0])
    finally:
        process.kill()
    assert told["failures"] == []
    assert set(told["answers"]) == {far.bundles.first.digest, far.bundles.second.digest}
    assert sum(told["answers"].values()) > 20 * switches
    assert all(len(values) == 1 for values in told["values"].values()), "each digest gives its own answer"
    first, second = told["values"].values()
    assert first != second
