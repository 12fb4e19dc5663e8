"""A host that lets in only who comes from the bastion: Debian hosts, and `ssh_config` that says the way."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ssh_server import own_ssh

from mlship.errors import TargetError
from mlship.ops.tunnel import Tunnel
from mlship.target.conformance import Bundles, deploy, open_ledger, serves
from mlship.target.loader import load_adapter
from mlship.target.protocol import Place
from mlship.target.rollout import Rollout

pytestmark = [pytest.mark.hosts, pytest.mark.server]

KEYS = "/home/guest/.ssh/authorized_keys"
CONFIG = """\
Host bastion
    HostName {bastion}
    UserKnownHostsFile {known}
Host model1
    HostName {model}
    ProxyJump bastion
Host *
    User guest
    IdentityFile {key}
    IdentitiesOnly yes
    ConnectTimeout 20
"""
Target = Callable[..., Any]


@pytest.fixture
def behind(debian: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Target]:
    """`behind(**settings)`: the adapter of `model1`, whose sshd is the host `systemd`, behind `bare`."""
    bastion, model = debian.host("bare"), debian.host("systemd")
    known = tmp_path / "known_to_the_user"
    known.write_text(f"{bastion.ip} {bastion.host_key}\n")
    config = CONFIG.format(bastion=bastion.ip, model=model.ip, key=model.key, known=known)
    monkeypatch.setenv("PATH", f"{own_ssh(tmp_path, config)}:{os.environ['PATH']}")
    (tmp_path / "known_hosts").write_text(f"model1 {model.host_key}\n{model.ip} {model.host_key}\n")
    model.run("sed", "-i", f's/^/from="{bastion.ip}" /', KEYS)
    made: list[Any] = []

    def to(**changed: Any) -> Any:
        settings = {"hosts": ["model1"], "client": "openssh", "workers": 1, "units": "none", **changed}
        place = Place("there", "conform", settings=settings, data=tmp_path, project=tmp_path)
        made.append(load_adapter("ssh", place))
        return made[-1]

    yield to
    for adapter in made:
        adapter.host.close()
    model.run("sed", "-i", 's/^from="[^"]*" //', KEYS)


def test_a_service_behind_a_bastion(debian: Any, behind: Target, kit: tuple[str, Bundles]) -> None:
    bastion, model, bundles = debian.host("bare"), debian.host("systemd"), kit[1]
    with pytest.raises(TargetError, match="lets nobody in"):
        behind(hosts=[f"guest@{model.ip}"], key=str(model.key)).observe()
    adapter = behind()
    deploy(adapter, open_ledger(adapter), bundles.first)
    tunnel = Tunnel(adapter, 0, print)
    tunnel.close()
    bastion.fall()
    with pytest.raises(TargetError, match="model1 cannot be reached"):
        behind(connect_timeout=3.0).observe()
    bastion.start()
    adapter = behind()
    assert serves(adapter) == bundles.first.digest
    deploy(adapter, open_ledger(adapter), bundles.second)
    assert serves(behind()) == bundles.second.digest
    Rollout(adapter, open_ledger(adapter), None, why="destroy", purge=True).run()


def test_without_ssh_config_there_is_no_way(behind: Target) -> None:
    with pytest.raises(TargetError, match="model1 cannot be reached") as refused:
        behind(client="paramiko").observe()
    assert 'names of ssh_config need client = "openssh"' in refused.value.fix
