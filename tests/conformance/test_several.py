"""Two hosts as one target pass the kit, too: two folders of this machine stand for them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlship.host import LocalHost
from mlship.target.conformance import AdapterConformance
from mlship.target.hosted import HostedAdapter
from mlship.target.hosted_settings import HostedSettings
from mlship.target.protocol import Adapter, Place
from mlship.target.several import SeveralHosts

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]


class TestTwoHosts(AdapterConformance):
    @pytest.fixture
    def stride(self, some: Any) -> int:
        return int(some.stride())

    @pytest.fixture
    def make_adapter(self, tmp_path: Path) -> Callable[[], Adapter]:
        settings = HostedSettings(workers=1, ready_timeout=240.0, drain_timeout=5.0)
        place = Place(name="here", service="conform", settings={}, data=tmp_path)

        def on(host: str) -> HostedAdapter:
            base = str(tmp_path / host)
            return HostedAdapter(place, settings, LocalHost(), base=base, python=sys.executable)

        return lambda: SeveralHosts(place, {host: on(host) for host in ("a", "b")})
