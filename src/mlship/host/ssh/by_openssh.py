"""The OpenSSH client as a wire: with it come ssh_config, jump hosts, certificates and hardware keys.

One master connection (ControlMaster) is opened by the first use and carries every command; its socket lies
in a folder of this process alone and goes with it.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from mlship.errors import TargetError
from mlship.host.child import ChildProcess
from mlship.host.ssh.address import Access
from mlship.host.ssh.trouble import not_known, said_by_ssh

_ENDED = 255  # ssh's own exit code when the connection failed or broke
_ALIAS = "pinned"  # the name under which the keys are known, whatever ssh_config makes of the address
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

    def start(self, command: str) -> _Process:
        if self._folder is None:
            self._open()
        words = [*self._words(), "-T", *self._target(), "--", command]
        return _Process(words)

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
        if not self._access.host_keys:
            raise not_known(self._access)
        self._folder = Path(tempfile.mkdtemp(prefix="mlship-ssh-"))
        atexit.register(self.close)
        known = "".join(f"{_ALIAS} {key}\n" for key in self._access.host_keys)
        (self._folder / "known").write_text(known, encoding="utf-8")
        words = [*self._words(), "-f", "-N", "-M", *self._target()]
        failed, said = True, ""
        try:
            with (self._folder / "said").open(
                "w+b"
            ) as log:  # the master keeps it open; a pipe would never end
                done = subprocess.run(
                    words,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                    timeout=4 * self._access.connect_timeout,
                    check=False,
                )
                failed = done.returncode != 0
                log.seek(0)
                said = log.read(8192).decode(errors="replace")
        except FileNotFoundError:
            raise TargetError(
                f"there is no {self._program}", fix='Install the OpenSSH client, or set client = "paramiko"'
            ) from None
        except subprocess.TimeoutExpired:
            said = f"no connection within {4 * self._access.connect_timeout:.0f} s"
        finally:
            if failed:
                self.close()
        if failed:
            raise said_by_ssh(self._access, said)

    def _words(self) -> list[str]:
        access = self._access
        options = {
            "BatchMode": "yes",
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": f"{self._folder}/known",
            "HostKeyAlias": _ALIAS,
            "GlobalKnownHostsFile": os.devnull,
            "UpdateHostKeys": "no",
            "PasswordAuthentication": "no",
            "ConnectTimeout": str(int(access.connect_timeout)),
            "ServerAliveInterval": str(_ALIVE),
            "ForwardAgent": "no",
            "ForwardX11": "no",
            "ClearAllForwardings": "yes",
            "ControlPath": f"{self._folder}/s",
        }
        words = [self._program]
        for name, value in options.items():
            words += ["-o", f"{name}={_quoted(value)}"]
        if access.key:
            words += ["-i", str(access.key), "-o", "IdentitiesOnly=yes"]
        return words

    def _target(self) -> list[str]:
        address = self._access.address
        port = ["-p", str(address.port)] if address.port else []
        user = ["-l", address.user] if address.user else []
        return [*port, *user, address.host]


def _quoted(value: str) -> str:
    """A value of ssh_config(5); a path may have spaces."""
    return f'"{value}"' if " " in value else value
