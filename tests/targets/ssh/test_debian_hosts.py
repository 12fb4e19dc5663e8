"""The Debian hosts of the tests are what the tests take them for."""

from __future__ import annotations

from typing import Any

import pytest

from mlship.host.ssh import SshHost
from mlship.host.ssh.by_openssh import OpenSshWire

pytestmark = [pytest.mark.hosts, pytest.mark.server]


def said(host: Any, user: str, *words: str) -> tuple[int, str]:
    access = host.access(user)
    machine = SshHost(OpenSshWire(access), access)
    try:
        done = machine.run(list(words), timeout=30)
    finally:
        machine.close()
    return done.code, done.out.decode().strip()


@pytest.mark.parametrize("kind", ["systemd", "bare"])
def test_users_and_their_rights(debian: Any, kind: str) -> None:
    host = debian.host(kind)
    assert said(host, "root", "id", "-u") == (0, "0")
    assert said(host, "admin", "sudo", "-n", "id", "-u") == (0, "0")
    assert said(host, "app", "sudo", "-n", "id", "-u")[0] != 0
    assert said(host, "guest", "id", "-un") == (0, "guest")


def test_services_of_a_user_outlive_logins_where_linger_is_on(debian: Any) -> None:
    host = debian.host("systemd")
    words = ["env", "XDG_RUNTIME_DIR=/run/user/1001", "systemctl", "--user", "is-system-running"]
    assert said(host, "app", *words) == (0, "running")
    assert said(host, "guest", "loginctl", "show-user", "guest", "--property=Linger") == (0, "Linger=no")


def test_a_host_that_was_cut_off_boots_again_with_its_disk(debian: Any) -> None:
    with debian.fresh("systemd") as host:
        host.run("sh", "-c", "echo kept > /root/kept; echo gone > /run/gone")
        where, shown = host.ip, host.host_key
        host.fall()
        host.start()
        assert (host.ip, host.host_key) == (where, shown)
        assert host.run("cat", "/root/kept") == "kept\n"
        assert host.run("cat", "/run/gone", check=False) == ""
