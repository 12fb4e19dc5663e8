"""Starts a real sshd on the loopback for the user that runs the tests, with keys of its own."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from listening import free_port, wait_for

from mlship.host.ssh.address import Access, Address

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")


def make_key(path: Path, kind: str = "ed25519") -> Path:
    words = ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "of the tests", "-f", str(path)]
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
    return path


def public(key: Path) -> str:
    """The kind and the data of a key, without its comment."""
    return " ".join(key.with_suffix(".pub").read_text().split()[:2])


def own_ssh(folder: Path, config: str) -> Path:
    """A folder for the PATH with an `ssh` that reads `config` in place of the user's."""
    file, program = folder / "ssh_config", folder / "bin" / "ssh"
    program.parent.mkdir()
    file.write_text(config)
    program.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F "{file}" "$@"\n')
    program.chmod(0o755)
    return program.parent


@dataclass
class SshServer:
    """A running sshd. `fall` kills it and every connection; `start` brings it back on its port."""

    folder: Path
    port: int
    more: str = ""
    home: Path | None = None
    process: subprocess.Popen[bytes] | None = None
    user: str = field(default_factory=getpass.getuser)

    @property
    def address(self) -> Address:
        return Address("127.0.0.1", self.user, self.port)

    def url(self, folder: Path, client: str) -> str:
        """Of the store in `folder`, by a client; nothing of the user's own is needed to get there."""
        known = self.known_in(self.folder / "known_hosts")
        options = f"client={client}&key={self.key}&known_hosts={known}&python={sys.executable}"
        return f"ssh://{self.address}{folder}?{options}"

    def known_in(self, file: Path) -> Path:
        """A file of known hosts that has this one."""
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"[127.0.0.1]:{self.port} {self.host_key}\n")
        return file

    @property
    def key(self) -> Path:
        return self.folder / "user"

    def access(self, **changed: object) -> Access:
        given = {"address": self.address, "host_keys": (self.host_key,), "key": self.key, **changed}
        return Access(**given)  # type: ignore[arg-type]

    @property
    def host_key(self) -> str:
        return public(self.folder / "host")

    def in_config(self) -> str:
        """What an ssh_config has to say of it."""
        return (
            f"HostName 127.0.0.1\nPort {self.port}\nUser {self.user}\nIdentityFile {self.key}\n"
            "IdentitiesOnly yes\n"
        )

    def make(self) -> None:
        make_key(self.folder / "host")
        make_key(self.key)
        shutil.copy(self.key.with_suffix(".pub"), self.folder / "authorized_keys")

    def start(self) -> None:
        config = self.folder / "sshd_config"
        config.write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {self.folder}/host\nPidFile none\n"
            f"AuthorizedKeysFile {self.folder}/authorized_keys\nStrictModes no\nUsePAM no\n"
            f"PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n"
            f"SetEnv {self._environment()}\n"
            f"Subsystem sftp internal-sftp\nMaxSessions 40\n{self.more}"
        )
        Path("/run/sshd").mkdir(exist_ok=True)  # where sshd leaves its rights
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([str(SSHD), "-D", "-e", "-f", str(config)], stderr=log)
        wait_for(self.port, self.process, self.folder / "log")

    def _environment(self) -> str:
        shell = "SHLVL=2"  # bash reads no .bashrc of the user who runs the tests
        return f"{shell} HOME={self.home} PATH={self.home}-bin:{os.defpath}" if self.home else shell

    def fall(self) -> None:
        assert self.process is not None
        for child in self._children():
            subprocess.run(["kill", "-9", str(child)], check=False, capture_output=True)
        self.process.kill()
        self.process.wait()

    def _children(self) -> list[int]:
        assert self.process is not None
        listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True)
        pairs = [tuple(int(word) for word in line.split()) for line in listed.stdout.splitlines()]
        found, parents = [], {self.process.pid}
        while parents:
            children = {pid for pid, parent in pairs if parent in parents}
            found += children
            parents = children
        return found


@contextmanager
def ssh_server(folder: Path, more: str = "", home: Path | None = None) -> Iterator[SshServer]:
    """`home`: what is the user's home there, so that several servers can stand for several machines; programs
    in HOME-bin are found first."""
    port = free_port()
    server = SshServer(folder, port, more, home)
    server.make()
    server.start()
    try:
        yield server
    finally:
        server.fall()
