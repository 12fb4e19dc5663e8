"""Asks systemd, the machine's (scope `system`) or this user's (`user`), by its own command."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from mlship_runtime.errors import SiteError

SCOPES = ("system", "user")
_PATIENCE = 150.0  # seconds; longer than a unit may take to start or stop


def systemctl(scope: str, *words: str, check: bool = True) -> str:
    """What `systemctl` says on standard output. Raises SiteError with its last line if it fails."""
    command = [
        "systemctl",
        *(["--user"] if scope == "user" else []),
        "--no-pager",
        "--no-ask-password",
        *words,
    ]
    environment = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LANG": "C.UTF-8"}
    if scope == "user":
        environment["XDG_RUNTIME_DIR"] = str(runtime_folder())
    try:
        done = subprocess.run(
            command, env=environment, cwd="/", capture_output=True, timeout=_PATIENCE, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SiteError(f"systemctl {words[0]} failed", cause=str(error)) from error
    if check and done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {done.returncode}"]
        raise SiteError(f"systemctl {words[0]} failed", cause=said[0])
    return done.stdout.decode(errors="replace")


def runtime_folder() -> Path:
    """Of this user's own systemd."""
    return Path(f"/run/user/{os.getuid()}")
