"""`ssh` passes the kit that every adapter must pass, over both clients, on a real sshd."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sampling import some_steps

from mlship.target.conformance import AdapterConformance, Bundles, deploy, open_ledger, plan_of, serves
from mlship.target.loader import load_adapter
from mlship.target.protocol import Adapter, Place
from mlship.target.rollout import Rollout


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


class Counting:
    """A process on a machine, and how many bytes it was told."""

    def __init__(self, process: Any, told: list[int]) -> None:
        self._process, self._told = process, told

    def write(self, data: bytes) -> None:
        self._told.append(len(data))
        self._process.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._process, name)


@pytest.mark.server
@pytest.mark.faults
@pytest.mark.timeout(900)
def test_another_model_moves_only_what_changed(
    bundles: Bundles, warm: Any, sshd: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted where it leaves this machine, with the ledger and all orders; as a service of another name than
    the bundle's, under which it answers."""
    monkeypatch.setenv("MLSHIP_HOME", str(warm.open()))
    (tmp_path / "known_hosts").write_text(f"[127.0.0.1]:{sshd.port} {sshd.host_key}\n")
    settings = {
        "hosts": [str(sshd.address)],
        "key": str(sshd.key),
        "base": str(warm.site),
        "ready_timeout": 30.0,
        "drain_timeout": 5.0,
        "units": "none",
    }
    adapter: Any = load_adapter("ssh", Place("far", "elsewhere", settings, warm.path, project=tmp_path))
    ledger, told, start = open_ledger(adapter), list[int](), adapter.host.start
    try:
        deploy(adapter, ledger, bundles.first)
        monkeypatch.setattr(adapter.host, "start", lambda argv: Counting(start(argv), told))
        actions = plan_of(adapter, ledger, bundles.second).actions
        told.clear()
        deploy(adapter, ledger, bundles.second)
        assert serves(adapter) == bundles.second.digest
        before = {layer.digest for layer in bundles.first.manifest.layers}
        new = [layer for layer in adapter.wanted(bundles.second).layers if layer.digest not in before]
        assert 0 < len(new) < len(bundles.second.manifest.layers)
        assert not [layer for layer in new if "runtime" in layer.title]
        documents = sum(document.size for document in adapter.wanted(bundles.second).documents)
        sent = sum(layer.size for layer in new) + documents
        assert sum(action.bytes for action in actions) == sent
        assert sent <= sum(told) < sent + (256 << 10)
    finally:
        Rollout(adapter, ledger, None, why="destroy", purge=True).run()
        adapter.host.close()
