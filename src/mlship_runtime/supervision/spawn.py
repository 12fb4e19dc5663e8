"""How processes of a service are started: isolated Python, a cleaned environment, their own session."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from mlship_runtime.supervision.layout import Layout
from mlship_runtime.supervision.listening import EXTERNAL

BOOT = Path(__file__).resolve().parents[1] / "boot.py"


def python_command(python: str, pycache: Path | str | None = None) -> list[str]:
    """Python that sees its standard library and nothing else of the host, with byte code from `pycache`."""
    cached = ["-X", f"pycache_prefix={pycache}"] if pycache else []
    return [python, "-I", "-S", "-B", "-u", *cached]


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a release sees of the environment: nothing of the caller's, and `extra` of its settings."""
    plain = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "TMPDIR": tempfile.gettempdir()}
    wanted = {name: value for name, value in (extra or {}).items() if not name.startswith("LISTEN_")}
    wanted.pop(EXTERNAL, None)
    return {**plain, **wanted}


@contextlib.contextmanager
def _appending(log: Path) -> Iterator[int]:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def launch_worker(
    python: str,
    layout: Layout,
    number: int,
    index: int,
    environment: Mapping[str, str],
    listener: socket.socket,
    external: socket.socket | None = None,
) -> subprocess.Popen[bytes]:
    """Start `boot.py launch` with the listening socket as its standard input, and the external one beside.
    Raises OSError."""
    passed = [external.fileno()] if external is not None else []
    named = {EXTERNAL: str(passed[0])} if passed else {}
    command = [*python_command(python), str(BOOT), "launch"]
    with _appending(layout.log(number)) as output:
        return subprocess.Popen(
            [*command, "--release", str(layout.record(number)), "--index", str(index)],
            stdin=listener.fileno(),
            stdout=output,
            stderr=output,
            pass_fds=passed,
            env={**clean_environment(environment), **named},
            cwd="/",
            start_new_session=True,
        )


def start_supervisor(python: str, layout: Layout) -> subprocess.Popen[bytes]:
    """Start `boot.py supervise`; one line on its standard output says how that went. Raises OSError."""
    with _appending(layout.events) as output:
        return subprocess.Popen(
            [*python_command(python), str(BOOT), "supervise", "--service", str(layout.folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            env=clean_environment(),
            cwd="/",
            start_new_session=True,
        )
