"""mlship target trust: what is shown, what is asked, what is pinned, and who is refused from then on."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ssh_server import SshServer, make_key, own_ssh, public, ssh_server

from mlship.host.ssh.known_hosts import fingerprint

pytestmark = pytest.mark.server
Run = Callable[..., Any]


@pytest.fixture
def own_sshd(tmp_path: Path, require: Callable[[str], None]) -> Any:
    """One whose key a test may change."""
    require("sshd")
    folder = tmp_path / "sshd"
    folder.mkdir()
    with ssh_server(folder) as server:
        yield server


def project(folder: Path, server: SshServer, client: str = "openssh") -> Path:
    """A project with the target `prod` on it; the file of its pinned keys."""
    (folder / "mlship.toml").write_text(
        f'[project]\nname = "churn"\n[model]\nsource = "m"\n[targets.prod]\ntype = "ssh"\n'
        f'hosts = ["{server.address}"]\nkey = "{server.key}"\nclient = "{client}"\nbase = "{folder}/base"\n'
    )
    return folder / "known_hosts"


@pytest.mark.parametrize("client", ["openssh", "paramiko"])
def test_nobody_is_believed_before_somebody_said_yes(
    run: Run, tmp_path: Path, sshd: SshServer, client: str
) -> None:
    pinned, shown = project(tmp_path, sshd, client), fingerprint(sshd.host_key)
    strange = run("status", "prod")
    assert (strange.code, pinned.exists()) == (6, False)
    assert "is not known" in strange.err
    assert "mlship target trust prod" in strange.err
    asked = run("target", "trust", "prod")
    assert (asked.code, pinned.exists()) == (2, False)
    assert f"ED25519 {shown}" in asked.err
    trusted = run("target", "trust", "prod", "--yes", "--json").envelope["result"]
    assert (trusted["changed"], trusted["file"]) == ([str(sshd.address)], str(pinned))
    assert pinned.read_text() == f"[127.0.0.1]:{sshd.port} {sshd.host_key}\n"
    again = run("target", "trust", "prod", "--json").envelope["result"]
    assert (again["changed"], again["machines"][0]["state"]) == ([], "pinned")
    assert run("status", "prod").code == 0


def test_what_is_pinned_is_what_has_the_fingerprint(run: Run, tmp_path: Path, own_sshd: SshServer) -> None:
    make_key(tmp_path / "rsa", "rsa")
    own_sshd.more = f"HostKey {tmp_path}/rsa\n"
    own_sshd.fall()
    own_sshd.start()
    pinned, rsa = project(tmp_path, own_sshd), public(tmp_path / "rsa")
    refused = run("target", "trust", "prod", "--fingerprint", fingerprint("ssh-ed25519 AAAA"))
    assert (refused.code, pinned.exists()) == (9, False)
    assert fingerprint(rsa) in refused.err
    assert run("target", "trust", "prod", "--fingerprint", fingerprint(rsa)).code == 0
    assert pinned.read_text() == f"[127.0.0.1]:{own_sshd.port} {rsa}\n"
    for client in ("openssh", "paramiko"):
        project(tmp_path, own_sshd, client)
        assert run("status", "prod").code == 0, "the pinned kind is asked for"


@pytest.mark.parametrize("client", ["openssh", "paramiko"])
def test_a_machine_that_shows_another_key(run: Run, tmp_path: Path, own_sshd: SshServer, client: str) -> None:
    pinned, before = project(tmp_path, own_sshd, client), own_sshd.host_key
    assert run("target", "trust", "prod", "-y").code == 0
    own_sshd.fall()
    for name in ("host", "host.pub"):
        (own_sshd.folder / name).unlink()
    make_key(own_sshd.folder / "host")
    own_sshd.start()
    refused = run("status", "prod")
    assert refused.code == 6
    for key in (before, own_sshd.host_key):
        assert fingerprint(key) in refused.err
    (reached,) = run("doctor", "prod", "--json").envelope["result"]["checks"]
    assert (reached["ok"], fingerprint(own_sshd.host_key) in reached["detail"]) == (False, True)
    hasty = run("target", "trust", "prod", "--yes")
    assert (hasty.code, before in pinned.read_text()) == (9, True)
    assert "--fingerprint" in hasty.err
    assert run("target", "trust", "prod", "--fingerprint", fingerprint(own_sshd.host_key)).code == 0
    assert before not in pinned.read_text()
    assert run("status", "prod").code == 0


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 2)])
def test_a_person_is_asked(
    tmp_path: Path, sshd: SshServer, command: list[str], answer: str, code: int
) -> None:
    pinned = project(tmp_path, sshd)
    near, far = pty.openpty()
    words = [*command, "target", "trust", "prod"]
    asked = subprocess.Popen(words, cwd=tmp_path, stdin=far, stdout=subprocess.DEVNULL, stderr=far)
    os.close(far)
    said = b""
    while b"[y/N]" not in said:
        said += os.read(near, 1024)
    os.write(near, answer.encode())
    assert asked.wait(60) == code
    os.close(near)
    assert fingerprint(sshd.host_key).encode() in said.replace(b"\r\n", b"\n")
    assert pinned.exists() == (code == 0)


def test_a_machine_behind_a_bastion_is_known_by_its_own_name(
    run: Run, tmp_path: Path, sshd: SshServer, own_sshd: SshServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = tmp_path / "users_known"
    known.write_text(f"[127.0.0.1]:{own_sshd.port} {own_sshd.host_key}\n")
    config = f"Host bastion\n{own_sshd.in_config()}UserKnownHostsFile {known}\n"
    config += f"Host model1\n{sshd.in_config()}ProxyJump bastion\n"
    monkeypatch.setenv("PATH", f"{own_ssh(tmp_path, config)}:{os.environ['PATH']}")
    pinned = project(tmp_path, sshd)
    toml = tmp_path / "mlship.toml"
    lines = [line for line in toml.read_text().splitlines() if not line.startswith("key")]
    toml.write_text("\n".join(lines).replace(str(sshd.address), "model1"))
    assert run("target", "trust", "prod", "--fingerprint", fingerprint(sshd.host_key)).code == 0
    assert pinned.read_text() == f"model1 {sshd.host_key}\n"
    assert run("status", "prod").code == 0
    own_sshd.fall()
    assert run("status", "prod").code == 6, "there is no other way to it"


def test_a_target_without_machines(run: Run, tmp_path: Path, sshd: SshServer) -> None:
    project(tmp_path, sshd)
    assert "no machines" in run("target", "trust", "local").err
