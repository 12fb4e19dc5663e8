"""`ssh` passes the kit that every adapter must pass, over both clients, on a real sshd."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlship.target.conformance import AdapterConformance
from mlship.target.hosted import HostedAdapter
from mlship.target.loader import load_adapter
from mlship.target.protocol import Adapter, Place


class OverSsh(AdapterConformance):
    client: str

    @pytest.fixture
    def own_home(self, warm: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv("MLSHIP_HOME", str(warm.open()))
        return Path(warm.path)

    @pytest.fixture(autouse=True)
    def _keep_runtime(self, warm: Any, _nothing_is_left: None) -> Iterator[None]:
        yield
        warm.keep()

    @pytest.fixture
    def make_adapter(
        self, own_home: Path, warm: Any, sshd: Any, tmp_path: Path
    ) -> Iterator[Callable[[], Adapter]]:
        (tmp_path / "known_hosts").write_text(f"[127.0.0.1]:{sshd.port} {sshd.host_key}\n")
        settings = {
            "hosts": [str(sshd.address)],
            "key": str(sshd.key),
            "client": self.client,
            "base": str(warm.site),
            "ready_timeout": 30.0,
            "drain_timeout": 5.0,
        }
        place = Place(name="far", service="conform", settings=settings, data=own_home, project=tmp_path)
        opened: list[Adapter] = []

        def make() -> Adapter:
            opened.append(load_adapter("ssh", place))
            return opened[-1]

        yield make
        for adapter in opened:
            assert isinstance(adapter, HostedAdapter)
            adapter.host.close()


class TestParamiko(OverSsh):
    client = "paramiko"


class TestOpenSsh(OverSsh):
    client = "openssh"
