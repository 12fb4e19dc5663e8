"""A machine behind a real sshd, by either client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ssh_server import SshServer, ssh_server

from mlship.host.ssh import SshHost
from mlship.host.ssh.address import Access
from mlship.host.ssh.by_openssh import OpenSshWire
from mlship.host.ssh.by_paramiko import ParamikoWire
from mlship.host.ssh.wire import Wire
from mlship.target.loader import load_adapter
from mlship.target.protocol import Place

WIRES: dict[str, Callable[[Access], Wire]] = {"paramiko": ParamikoWire, "openssh": OpenSshWire}
Reach = Callable[..., SshHost]


@pytest.fixture
def own_sshd(tmp_path: Path, require: Callable[[str], None]) -> Iterator[SshServer]:
    """One that a test may kill or give other keys."""
    require("sshd")
    folder = tmp_path / "sshd"
    folder.mkdir()
    with ssh_server(folder) as server:
        yield server


@pytest.fixture(params=sorted(WIRES))
def reach(request: pytest.FixtureRequest) -> Iterator[Reach]:
    """`reach(server, **access)`: the machine behind a server, by each client in turn."""
    opened = []

    def to(server: SshServer, **changed: object) -> SshHost:
        access = server.access(**changed)
        opened.append(SshHost(WIRES[request.param](access), access))
        return opened[-1]

    yield to
    for host in opened:
        host.close()


@pytest.fixture
def target(sshd: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """`target(**settings)`: the adapter of a target on this machine."""
    (tmp_path / "known_hosts").write_text(f"[127.0.0.1]:{sshd.port} {sshd.host_key}\n")
    made = []

    def to(name: str = "far", ledger: str | None = None, **changed: Any) -> Any:
        settings = {"hosts": [str(sshd.address)], "key": str(sshd.key), "base": f"{tmp_path}/base", **changed}
        place = Place(
            name=name, service="churn", settings=settings, data=tmp_path, project=tmp_path, ledger=ledger
        )
        made.append(load_adapter("ssh", place))
        return made[-1]

    yield to
    for adapter in made:
        adapter.host.close()
