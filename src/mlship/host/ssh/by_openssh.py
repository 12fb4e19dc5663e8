"""The OpenSSH client as a wire: with it come ssh_config, jump hosts, certificates and hardware keys.

One master connection (ControlMaster) is opened by the first use, and anew when it has gone, and carries every
command; its socket lies in a folder of this process alone and goes with it.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from mlship.errors import TargetError
from mlship.host.child import ChildProcess
from mlship.host.ssh.address import Access
from mlship.host.ssh.trouble import not_known, said_by_ssh

_ENDED = 255  # ssh's own exit code when the connection failed or broke
_ALIAS = "pinned"  # the name under which the keys are known, whatever ssh_config makes of the address
LINGER = 60  # seconds that the master stays unused: all that is left of a process that was killed
_ALIVE = 15  # seconds between two signs of life, of which three may be missed


class _Process(ChildProcess):
    def wait(self) -> int | None:
        code = super().wait()
        return None if code == _ENDED else code


class OpenSshWire:
    """See Wire."""

    def __init__(self, access: Access, program: str = "ssh") -> None:
        self._access, self._program = access, program
        self._folder: Path | None = None
        self._lock = threading.Lock()

    def start(self, command: str) -> _Process:
        with self._lock:
            if self._folder is None or not (self._folder / "s").exists():
                self.close()
                self._open()
        words = [*self._words(), "-T", *self._target(), "--", command]
        return _Process(words)

    def shown(self, algorithms: Sequence[str]) -> str | None:
        """ssh notes the key in a file of this call alone, before it tries (by no method) to log in."""
        with tempfile.TemporaryDirectory(prefix="mlship-ssh-") as folder:
            known = Path(folder, "known")
            changed = {
                "StrictHostKeyChecking": "accept-new",
                "UserKnownHostsFile": str(known),
                "HashKnownHosts": "no",
                "HostKeyAlgorithms": ",".join(algorithms),
                "PreferredAuthentications": "none",
                "ControlPath": "none",
            }
            words = [*self._words(changed), "-T", *self._target(), "--", "true"]
            _, said = self._asked(words, Path(folder))
            if known.exists():
                return " ".join(known.read_text(encoding="utf-8").split()[1:3])
        if "no matching host key type" not in said:
            raise said_by_ssh(self._access, said)
        return None

    def close(self) -> None:
        if self._folder is None:
            return
        atexit.unregister(self.close)
        words = [*self._words(), "-O", "exit", *self._target()]
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(words, capture_output=True, timeout=10, check=False)
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder = None

    def _open(self) -> None:
        """Open the master connection, or say why it cannot be."""
        access = self._access
        if not access.host_keys and not access.authorities:
            raise not_known(access)
        self._folder = Path(tempfile.mkdtemp(prefix="mlship-ssh-"))
        atexit.register(self.close)
        marked = (("", access.host_keys), ("@cert-authority ", access.authorities))
        known = [
            f"{mark}{self._alias} {key}\n"
            for mark, keys in (*marked, ("@revoked ", access.revoked))
            for key in keys
        ]
        (self._folder / "known").write_text("".join(known), encoding="utf-8")
        stays = {"ControlPersist": str(LINGER)}
        words = [*self._words(stays), "-f", "-N", "-M", *self._target()]
        failed, said = True, ""
        try:
            code, said = self._asked(words, self._folder)
            failed = code != 0
        finally:
            if failed:
                self.close()
        if failed:
            raise said_by_ssh(self._access, said)

    def _asked(self, words: list[str], folder: Path) -> tuple[int, str]:
        """How ssh ended, and what it complained of: in a file, since a master that stays would keep a pipe
        open."""
        within = 4 * self._access.connect_timeout
        with (folder / "said").open("w+b") as log:
            try:
                code = subprocess.run(
                    words,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                    timeout=within,
                    check=False,
                ).returncode
            except FileNotFoundError:
                fix = 'Install the OpenSSH client, or set client = "paramiko"'
                raise TargetError(f"there is no {self._program}", fix=fix) from None
            except subprocess.TimeoutExpired:
                return _ENDED, f"no connection within {within:.0f} s"
            log.seek(0)
            return code, log.read(8192).decode(errors="replace")

    def _words(self, changed: Mapping[str, str] | None = None) -> list[str]:
        access = self._access
        options = {
            "BatchMode": "yes",
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": f"{self._folder}/known",
            "HostKeyAlias": self._alias,
            "GlobalKnownHostsFile": os.devnull,
            "UpdateHostKeys": "no",
            "PasswordAuthentication": "no",
            "ConnectTimeout": str(int(access.connect_timeout)),
            "ServerAliveInterval": str(_ALIVE),
            "ForwardAgent": "no",
            "ForwardX11": "no",
            "ClearAllForwardings": "yes",
            "ControlPath": f"{self._folder}/s",
            **(changed or {}),
        }
        words = [self._program]
        for name, value in options.items():
            words += ["-o", f"{name}={_quoted(value)}"]
        if access.key:
            words += ["-i", str(access.key), "-o", "IdentitiesOnly=yes"]
        return words

    @property
    def _alias(self) -> str:
        """A certificate is for a name, which must be the machine's."""
        return self._access.address.host.lower() if self._access.authorities else _ALIAS

    def _target(self) -> list[str]:
        address = self._access.address
        port = ["-p", str(address.port)] if address.port else []
        user = ["-l", address.user] if address.user else []
        return [*port, *user, address.host]


def _quoted(value: str) -> str:
    """A value of ssh_config(5); a path may have spaces."""
    return f'"{value}"' if " " in value else value
