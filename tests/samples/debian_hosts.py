"""Whole Debian hosts, each with an address of its own: containers of an engine that runs for the tests alone.

Two kinds: `systemd` (systemd is process 1, with sshd) and `bare` (sshd is process 1: no service manager). On
both, root and three users let in the key of the tests: `admin` may become root by sudo without a password,
`app` may not but its own services outlive its logins (linger), `guest` has neither.
"""

from __future__ import annotations

import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docker_engines import IMAGE, Engine
from ssh_server import make_key, public

from mlship.host.ssh.address import Access, Address

KINDS = ("systemd", "bare")
_BOOT = 120.0  # seconds
_FIRST = {"systemd": "/lib/systemd/systemd", "bare": "/usr/sbin/sshd -D -e"}
_CONTROL_GROUPS = "/sys/fs/cgroup"
_SETTLE = """
set -e
rm -f /etc/ssh/ssh_host_*
ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
mkdir -p /run/sshd
for name in admin app guest; do useradd --create-home --shell /bin/bash "$name"; done
echo 'admin ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/admin
cat > /key.pub
for name in root admin app guest; do
  home=$(getent passwd "$name" | cut -d: -f6)
  install -d -m 700 -o "$name" -g "$name" "$home/.ssh"
  install -m 600 -o "$name" -g "$name" /key.pub "$home/.ssh/authorized_keys"
done
printf 'MaxStartups 100\\nMaxSessions 40\\nPasswordAuthentication no\\n' > /etc/ssh/sshd_config.d/tests.conf
mkdir -p /var/lib/systemd/linger
touch /var/lib/systemd/linger/app
"""


@dataclass
class DebianHost:
    """A host; `fall` pulls its plug, `start` boots it again with its disk and its address."""

    engine: Engine
    name: str
    kind: str
    key: Path
    ip: str = ""
    host_key: str = ""

    def make(self) -> None:
        rights = ["--cap-add", "SYS_ADMIN", "--cap-add", "SYS_PTRACE", "--security-opt", "seccomp=unconfined"]
        groups = ["--cgroupns", "host", "--volume", f"{_CONTROL_GROUPS}:{_CONTROL_GROUPS}:rw"]
        options = ["--hostname", self.name, "--network", self.engine.network, "--env", "container=docker"]
        if self.kind == "systemd":
            options += [*rights, *groups, "--tmpfs", "/run", "--tmpfs", "/run/lock"]
        docker = self.engine.docker
        # What is written before the first boot lies on the disk, as with an installer.
        docker("run", "--name", f"{self.name}-settle", "--interactive", "--network", "none",
               IMAGE, "/bin/sh", "-c", _SETTLE, given=self.key.with_suffix(".pub").read_bytes())  # fmt: skip
        docker("commit", f"{self.name}-settle", self.name)
        docker("rm", f"{self.name}-settle")
        docker("create", "--tty", "--name", self.name, *options, self.name, *_FIRST[self.kind].split())
        self.start()

    def start(self) -> None:
        docker = self.engine.docker
        docker("start", self.name)
        format_ = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        self.ip = docker("inspect", "--format", format_, self.name).strip()
        if self.kind == "systemd":
            self._booted()
        self._listens()
        self.host_key = " ".join(self.run("cat", "/etc/ssh/ssh_host_ed25519_key.pub").split()[:2])

    def fall(self) -> None:
        self.engine.docker("kill", self.name)

    def run(self, *words: str, given: bytes = b"", check: bool = True) -> str:
        """As root on the host, past sshd."""
        return self.engine.docker("exec", "--interactive", self.name, *words, given=given, check=check)

    def address_of(self, user: str) -> Address:
        return Address(self.ip, user, 22)

    def access(self, user: str = "root", **changed: Any) -> Access:
        given = {"address": self.address_of(user), "host_keys": (self.host_key,), "key": self.key}
        return Access(**{**given, **changed})

    def _booted(self) -> None:
        end, said = time.monotonic() + _BOOT, ""
        while said not in ("running", "degraded"):
            assert time.monotonic() < end, f"{self.name} is {said}: {self.run('systemctl', check=False)}"
            said = self.run("systemctl", "is-system-running", check=False).strip()
            time.sleep(0.1)

    def _listens(self) -> None:
        end = time.monotonic() + _BOOT
        while True:
            with suppress(OSError), socket.create_connection((self.ip, 22), 5) as stream:
                if stream.recv(4) == b"SSH-":
                    return
            assert time.monotonic() < end, f"sshd of {self.name} does not answer"
            time.sleep(0.1)


class DebianHosts:
    """`host("systemd")`: a host of that kind that all tests share; `fresh` makes one for a test alone."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.key = make_key(engine.folder / "user")
        self._shared: dict[str, DebianHost] = {}
        self._made = 0

    def host(self, kind: str) -> DebianHost:
        if kind not in self._shared:
            self._shared[kind] = self._make(kind)
        return self._shared[kind]

    @contextmanager
    def fresh(self, kind: str) -> Iterator[DebianHost]:
        host = self._make(kind)
        try:
            yield host
        finally:
            self.engine.docker("rm", "--force", host.name)
            self.engine.docker("rmi", host.name)

    @property
    def public_key(self) -> str:
        return public(self.key)

    def _make(self, kind: str) -> DebianHost:
        self._made += 1
        host = DebianHost(self.engine, f"{kind}-{self._made}", kind, self.key)
        host.make()
        return host


@contextmanager
def debian_hosts() -> Iterator[DebianHosts]:
    """An engine and its hosts, all of which end with this. In a short folder: it holds a Unix socket."""
    with ExitStack() as stack:
        engine = Engine(Path(tempfile.mkdtemp(prefix="mlship-hosts-")))
        stack.callback(engine.end)
        engine.start()
        engine.take_debian()
        yield DebianHosts(engine)
