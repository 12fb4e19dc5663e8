"""A bundle's own server as a child of this process: how it is started, what it says, how it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from socket import socket
from types import FrameType
from typing import Any, Protocol

from mlship.errors import BundleError, MlshipError, TargetError
from mlship_runtime.errors import InvalidBundle, RuntimeFault
from mlship_runtime.supervision.control import fault_of
from mlship_runtime.supervision.listening import EXTERNAL
from mlship_runtime.supervision.spawn import clean_environment

_LAST_WORDS = 5.0  # seconds for what is still in the pipe, which a child of the server may hold open
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ending(Protocol):
    """What can be told to end."""

    def terminate(self) -> None: ...


class Server:
    """One server; what it prints goes to standard error. `listener` and `external` are the sockets that it
    serves on, if it does not open them itself."""

    def __init__(
        self, command: Sequence[str], listener: socket | None = None, external: socket | None = None
    ) -> None:
        passed = [external.fileno()] if external is not None else []
        named = {EXTERNAL: str(passed[0])} if passed else {}
        self._process = subprocess.Popen(
            list(command),
            stdin=listener.fileno() if listener is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=passed,
            env={**clean_environment(), **named},
            cwd="/",
            text=True,
            process_group=0,  # a terminal's Ctrl-C reaches this process, which passes it on once
        )
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        self._said = self._process.stdout
        self._pump: threading.Thread | None = None

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def until_ready(self) -> dict[str, Any] | None:
        """Where it answers, {host, port, digest}; None if it has ended without a word. Raises why it cannot
        serve: BundleError or TargetError."""
        said = _first_word(self._said)
        if said is not None and not said["ok"]:
            raise as_error(fault_of(said["error"]))
        if said is not None:
            self._pump = threading.Thread(target=self._pass_on, daemon=True)
            self._pump.start()
        return said

    def terminate(self) -> None:
        self._process.terminate()

    def wait(self) -> int:
        """Until it has ended and what it said is passed on."""
        code = self._process.wait()
        if self._pump is not None:
            self._pump.join(_LAST_WORDS)
        return code

    def end(self) -> None:
        """It must not go on, whatever it is at."""
        if self.exit_code is None:
            self.terminate()
        self.wait()
        if self._pump is None or not self._pump.is_alive():
            self._said.close()

    def _pass_on(self) -> None:
        for line in self._said:
            sys.stderr.write(line)


def run(command: Sequence[str], ready: Callable[[str], None]) -> int:
    """Run a server until it or this process is told to end; its exit code, 0 if it was told.

    Raises KeyboardInterrupt if it was told before it was ready, TargetError if it ended by itself before.
    """
    server = Server(command)
    try:
        with passed_on(server) as asked:
            said = server.until_ready()
            if said is None:
                code = server.wait()
                if asked:
                    raise KeyboardInterrupt
                raise TargetError("the server ended before it was ready", cause=f"exit code {code}")
            ready(address(said))
            code = server.wait()
            return 0 if asked else code
    finally:
        server.end()


def address(said: dict[str, Any]) -> str:
    """The URL of a server that is ready, and that of its external listener if it has one."""
    places = [{**said, "scheme": "http"}, *filter(None, [said.get("external")])]
    return " and ".join(f"{place['scheme']}://{place['host']}:{place['port']}" for place in places)


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
def passed_on(server: Ending) -> Iterator[list[int]]:
    """Signals that end this process end the server, which then ends this; gives the signals that came."""
    asked: list[int] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        if not asked:
            server.terminate()
        asked.append(number)

    with handled(pass_on):
        yield asked


@contextmanager
def handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP call `handler` meanwhile, where this is the thread that they come to."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = [signal.signal(number, handler) for number in SIGNALS]
    try:
        yield
    finally:
        for number, previous in zip(SIGNALS, before, strict=True):
            signal.signal(number, previous)
