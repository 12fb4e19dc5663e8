"""This machine as a host."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

import mlship_runtime
from mlship.errors import TargetError
from mlship.host.child import ChildProcess
from mlship.host.protocol import Completed
from mlship_runtime.files import make_folder, sync_folder


class LocalHost:
    """Runs commands as child processes in their own session, so that Ctrl-C here does not reach them."""

    name = "this machine"
    address = ""
    ground_floor: str | None = str(Path(mlship_runtime.__file__).with_name("boot.py"))

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float | None = None) -> Completed:
        try:
            done = subprocess.run(
                list(argv),
                input=stdin,
                capture_output=True,
                timeout=timeout,
                check=False,
                start_new_session=True,
            )
        except subprocess.TimeoutExpired as late:
            raise TargetError(
                f"{argv[0]} did not answer within {timeout:.0f} s", fix="Try again with a larger --timeout"
            ) from late
        except OSError as error:
            raise _cannot_run(argv, error) from error
        return Completed(done.returncode, done.stdout, done.stderr)

    def start(self, argv: Sequence[str]) -> ChildProcess:
        try:
            return ChildProcess(argv)
        except OSError as error:
            raise _cannot_run(argv, error) from error

    def put(self, source: Path, target: str) -> None:
        final = Path(target)
        part = final.with_name(final.name + f".part-{os.getpid()}")
        try:
            make_folder(final.parent)
            with source.open("rb") as reader, part.open("wb") as writer:
                shutil.copyfileobj(reader, writer, 1 << 20)
                writer.flush()
                os.fsync(writer.fileno())
            part.replace(final)
            sync_folder(final.parent)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise TargetError(
                f"cannot write {target}",
                cause=error.strerror or str(error),
                fix="Free some space or choose another base folder, then deploy again",
            ) from error

    def get(self, source: str, target: Path) -> None:
        try:
            shutil.copyfile(source, target)
        except OSError as error:
            raise TargetError(f"cannot read {source}", cause=error.strerror or str(error)) from error

    def connect(self, address: str, *, timeout: float) -> socket.socket:
        kind, _, where = address.partition(":")
        try:
            if kind == "unix":
                stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                stream.settimeout(timeout)
                stream.connect(where)
                return stream
            host, _, port = where.rpartition(":")
            return socket.create_connection((host, int(port)), timeout=timeout)
        except OSError as error:
            raise TargetError(
                f"nothing answers at {where}", cause=error.strerror or str(error), fix="See mlship status"
            ) from error


def _cannot_run(argv: Sequence[str], error: OSError) -> TargetError:
    return TargetError(f"cannot run {argv[0]}", cause=error.strerror or str(error))
