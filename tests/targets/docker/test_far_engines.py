"""Engines on another machine: over SSH, over TLS, by a context, and images by a registry."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority
from docker_engines import made_for, own_engine
from listening import free_port
from oci_servers import docker_registry
from ssh_server import own_ssh, ssh_server

from mlship.errors import TargetError
from mlship.host.protocol import Unreached
from mlship.target.conformance import Bundles, deploy, serves
from mlship.target.ledger import Ledger
from mlship.target.ledger_place import open_ledger
from mlship.target.rollout import Rollout

pytestmark = [pytest.mark.server, pytest.mark.timeout(1800)]

Make = Callable[..., Any]


def lives(make: Make, ledger: Ledger, bundles: Bundles) -> None:
    """A deploy, a prediction through the engine, and nothing is left."""
    rolled = deploy(make(), ledger, bundles.first)
    assert rolled.proof is not None
    assert rolled.proof.rows > 0
    assert serves(make()) == bundles.first.digest
    assert make().observe().endpoints[0].only_on
    Rollout(make(), ledger, None, why="destroy").run()
    assert not make().observe().exists


@pytest.mark.faults
def test_over_ssh(
    debian: Any,
    debian_layout: Path,
    bundles: Bundles,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    require: Callable[[str], None],
) -> None:
    """As the user's ssh_config says; and what ssh complains of is told."""
    require("sshd")
    home, there = tmp_path / "home", tmp_path / "home-bin" / "docker"
    for folder in (tmp_path / "sshd", home, there.parent):
        folder.mkdir()
    there.write_text(f'#!/bin/sh\nexec {shutil.which("docker")} --host {debian.engine.url} "$@"\n')
    there.chmod(0o755)
    with ssh_server(tmp_path / "sshd", home=home) as server:
        known = server.known_in(tmp_path / "known" / "hosts")
        pinned = f"UserKnownHostsFile {known}\nHostKeyAlias [127.0.0.1]:{server.port}\n"
        programs = own_ssh(tmp_path, f"Host engine.test\n{server.in_config()}{pinned}")
        monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
        for make in made_for(debian.engine, debian_layout, tmp_path, engine="ssh://engine.test"):
            ledger = open_ledger(make(engine=debian.engine.url))
            lives(make, ledger, bundles)
            with pytest.raises(Unreached, match=r"cannot be reached.*ssh nobody@engine.test"):
                make(engine="ssh://nobody@engine.test").observe()


@pytest.mark.slow
def test_over_tls_and_by_a_registry(
    debian_layout: Path,
    bundles: Bundles,
    tmp_path: Path,
    require: Callable[[str], None],
) -> None:
    require("docker-registry")
    require("debian-hosts")
    authority, client = Authority(tmp_path, "authority"), tmp_path / "client"
    certificate, key = authority.issue("engine")
    port = free_port()
    options = [f"--tlscert={certificate}", f"--tlskey={key}", f"--tlscacert={authority.file}"]
    listen = ["--tlsverify", f"--host=tcp://127.0.0.1:{port}"]
    client.mkdir()
    for name, file in (("ca", authority.file), ("cert", certificate), ("key", key)):
        (client / f"{name}.pem").write_bytes(file.read_bytes())
    with own_engine(*listen, *options) as engine, docker_registry(tmp_path / "registry") as registry:
        said = {
            "engine": f"tcp://127.0.0.1:{port}",
            "certificates": str(client),
            "repository": f"{registry.host}/team/conform",
        }
        for make in made_for(engine, debian_layout, tmp_path, **said):
            ledger = open_ledger(make(engine=engine.url, certificates="", repository=""))
            lives(make, ledger, bundles)
            assert not engine.docker("image", "ls", "--quiet").strip()
            (client / "cert.pem").unlink()
            with pytest.raises(TargetError):
                make().observe()
