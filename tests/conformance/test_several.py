"""Two hosts as one target pass the kit, too: two folders of this machine stand for them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from kit_bundles import WarmHome
from sampling import some_steps

from mlship.host import LocalHost
from mlship.target.conformance import AdapterConformance
from mlship.target.hosted import HostedAdapter
from mlship.target.hosted_settings import HostedSettings
from mlship.target.protocol import Adapter, Place
from mlship.target.several import SeveralHosts

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> WarmHome:
    return WarmHome(tmp_path_factory.mktemp("warm"), ("a", "b"))


class TestTwoHosts(AdapterConformance):
    @pytest.fixture
    def steps(self, some: Any) -> Sequence[int]:
        return some_steps(some, 36)

    @pytest.fixture
    def own_home(self, warm: WarmHome, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv("MLSHIP_HOME", str(warm.open()))
        return warm.path

    @pytest.fixture(autouse=True)
    def _keep_runtime(self, warm: WarmHome, _nothing_is_left: None) -> Iterator[None]:
        yield
        warm.keep()

    @pytest.fixture
    def make_adapter(self, own_home: Path, warm: WarmHome) -> Callable[[], Adapter]:
        settings = HostedSettings(workers=1, ready_timeout=240.0, drain_timeout=5.0)
        place = Place(name="here", service="conform", settings={}, data=own_home)

        def on(host: str) -> HostedAdapter:
            base = str(warm.base(host))
            return HostedAdapter(place, settings, LocalHost(), base=base, python=sys.executable)

        return lambda: SeveralHosts(place, {host: on(host) for host in ("a", "b")})
