"""`ssh` passes the kit that every adapter must pass, over both clients, on a real sshd."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sampling import some_steps

from mlship.target.conformance import AdapterConformance
from mlship.target.loader import load_adapter
from mlship.target.protocol import Adapter, Place


def made_for(place: Place) -> Iterator[Callable[[], Adapter]]:
    """What makes adapters for `place`; their connections are closed afterwards."""
    opened: list[Any] = []

    def make() -> Adapter:
        opened.append(load_adapter("ssh", place))
        return opened[-1]  # type: ignore[no-any-return]

    yield make
    for adapter in opened:
        adapter.host.close()


@pytest.mark.server
@pytest.mark.faults
@pytest.mark.timeout(900)
class TestSsh(AdapterConformance):
    @pytest.fixture
    def own_home(self, warm: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv("MLSHIP_HOME", str(warm.open()))
        return Path(warm.path)

    @pytest.fixture(autouse=True)
    def _keep_runtime(self, warm: Any, _nothing_is_left: None) -> Iterator[None]:
        yield
        warm.keep()

    @pytest.fixture
    def steps(self, some: Any) -> Sequence[int]:
        return some_steps(some, 18)

    @pytest.fixture(params=["openssh", "paramiko"])
    def make_adapter(
        self, request: pytest.FixtureRequest, own_home: Path, warm: Any, sshd: Any, tmp_path: Path
    ) -> Iterator[Callable[[], Adapter]]:
        (tmp_path / "known_hosts").write_text(f"[127.0.0.1]:{sshd.port} {sshd.host_key}\n")
        settings = {
            "hosts": [str(sshd.address)],
            "key": str(sshd.key),
            "client": request.param,
            "base": str(warm.site),
            "ready_timeout": 30.0,
            "drain_timeout": 5.0,
            "units": "none",
        }
        place = Place(name="far", service="conform", settings=settings, data=own_home, project=tmp_path)
        yield from made_for(place)


@pytest.mark.server
@pytest.mark.hosts
@pytest.mark.slow
@pytest.mark.timeout(1800)
class TestKeptBySystemd(AdapterConformance):
    """The same on a whole host, where systemd keeps the service; below root's home, of which a unit sees
    nothing else."""

    @pytest.fixture
    def make_adapter(self, debian: Any, own_home: Path, tmp_path: Path) -> Iterator[Callable[[], Adapter]]:
        host = debian.host("systemd")
        (tmp_path / "known_hosts").write_text(f"{host.ip} {host.host_key}\n")
        settings = {
            "hosts": [str(host.address_of("root"))],
            "key": str(host.key),
            "base": "/root/mlship",
            "workers": 1,
            "ready_timeout": 60.0,
            "drain_timeout": 5.0,
            "units": "system",
        }
        place = Place(name="far", service="conform", settings=settings, data=own_home, project=tmp_path)
        yield from made_for(place)
