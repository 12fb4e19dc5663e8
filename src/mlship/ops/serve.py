"""`mlship serve`: a bundle in the foreground, by its own runtime; no target, no ledger."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from mlship.config.folders import cache_dir
from mlship.errors import BundleError, MlshipError, TargetError
from mlship.ops.context import Context
from mlship.ops.unpacked import unpacked_here
from mlship_runtime.errors import InvalidBundle, RuntimeFault
from mlship_runtime.supervision.control import fault_of
from mlship_runtime.supervision.spawn import BOOT, clean_environment, python_command

LOOPBACK = "127.0.0.1"


def serve(ctx: Context, ref: str | None = None, *, port: int = 8080) -> int:
    """Serve on the loopback address until SIGINT or SIGTERM; the exit code of the server.

    Raises PolicyError where it may not come here, BundleError for damaged layers, TargetError if the bundle
    does not run here or the port is taken.
    """
    bundle = ctx.open_bundle(ref)
    with tempfile.TemporaryDirectory(prefix="mlship-serve-") as scratch:
        record, python = unpacked_here(ctx, bundle, Path(scratch))
        release = Path(scratch, "release.json")
        release.write_text(json.dumps(record), encoding="utf-8")
        command = [*python_command(python, cache_dir() / "pycache"), str(BOOT), "serve"]
        command += ["--release", str(release), "--host", LOOPBACK, "--port", str(port)]
        return _run(
            command, lambda where: ctx.progress.say(f"{bundle.reference} answers at {where}; Ctrl-C ends it")
        )


def _run(command: list[str], ready: Callable[[str], None]) -> int:
    server = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=clean_environment(),
        cwd="/",
        text=True,
        process_group=0,  # a terminal's Ctrl-C reaches this process, which passes it on once
    )
    assert server.stdout is not None  # noqa: S101 - it is a pipe
    try:
        with passed_on(server) as asked:
            said = _first_word(server.stdout)
            if said is None:
                code = server.wait()
                if asked:
                    raise KeyboardInterrupt
                raise TargetError("the server ended before it was ready", cause=f"exit code {code}")
            if not said["ok"]:
                raise as_error(fault_of(said["error"]))
            ready(f"http://{said['host']}:{said['port']}")
            for line in server.stdout:
                sys.stderr.write(line)
            code = server.wait()
            return 0 if asked else code
    finally:
        if server.poll() is None:
            server.terminate()
        server.stdout.close()
        server.wait()


def _first_word(lines: Iterable[str]) -> dict[str, Any] | None:
    """What the server says when it is ready or has failed. A reduction step may print before."""
    for line in lines:
        try:
            said = json.loads(line)
        except ValueError:
            said = None
        if isinstance(said, dict) and "ok" in said:
            return said
        sys.stderr.write(line)
    return None


def as_error(fault: RuntimeFault) -> MlshipError:
    """What a child process reports, as an error of this one."""
    kind = BundleError if isinstance(fault, InvalidBundle) else TargetError
    return kind(fault.what, cause=fault.cause, fix=fault.fix)


@contextmanager
def passed_on(server: subprocess.Popen[Any]) -> Iterator[list[int]]:
    """SIGINT, SIGTERM and SIGHUP end the server, which then ends this; gives the signals that came."""
    asked: list[int] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        if not asked:
            server.terminate()
        asked.append(number)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, pass_on) for number in numbers]
    try:
        yield asked
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
