"""A machine by SSH as a host: run, put, get and connect, the same over both clients."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from mlship.errors import TargetError
from mlship.host.drained import MOST, Drained, last_line
from mlship.host.protocol import Completed, Process
from mlship.host.ssh.address import Access
from mlship.host.ssh.far import RECEIVE, RELAY
from mlship.host.ssh.trouble import lost
from mlship.host.ssh.wire import KINDS, Wire, command_line

_CHUNK = 256 << 10
_SENT = 1 << 20  # bytes of a file that are written at a time
_BEGIN = 30.0  # seconds until a receiver or relay says that it is there


class SshHost:
    """See Host. `python` is an interpreter there (3.9 or newer): it receives files, relays connections."""

    ground_floor: str | None = None

    def __init__(self, wire: Wire, access: Access, python: str = "python3") -> None:
        self.name, self.address = str(access.address), access.address.host
        self._wire, self._access, self._python = wire, access, python

    def run(self, argv: Sequence[str], *, stdin: bytes = b"", timeout: float | None = None) -> Completed:
        process = self.start(argv)
        out, err = Drained(process.read), Drained(process.read_error)
        feeder = threading.Thread(target=_feed, args=(process, stdin), daemon=True)
        feeder.start()
        if not (out.ended(timeout) and err.ended(timeout)):
            process.close()
            raise TargetError(
                f"{argv[0]} did not answer within {timeout:.0f} s on {self.name}",
                fix="Try again with a larger --timeout",
            )
        code = process.wait()
        if code is None:
            raise lost(self._access, err.last_line)
        if out.cut:
            raise TargetError(f"{argv[0]} said more than {MOST >> 20} MiB on {self.name}")
        return Completed(code, out.data, err.data)

    def start(self, argv: Sequence[str]) -> Process:
        return self._wire.start(command_line(argv))

    def put(self, source: Path, target: str) -> None:
        """What a broken transfer has left there (TARGET.part) is gone on with: whoever puts a file under the
        name of its digest has it checked there before it is used."""
        size = source.stat().st_size
        process = self._begin(RECEIVE, target, str(size))
        err = Drained(process.read_error)
        with source.open("rb") as reader, contextlib.suppress(OSError, ValueError):  # its exit code says why
            reader.seek(int(_first_line(process)[0]))
            while chunk := reader.read(_SENT):
                process.write(chunk)
            process.end_input()
        rest = Drained(process.read)
        err.ended(None)
        rest.ended(None)
        code = process.wait()
        process.close()
        if code is None:
            raise lost(self._access, err.last_line)
        if code != 0:
            raise TargetError(
                f"cannot write {target} on {self.name}",
                cause=err.last_line,
                fix="Free some space or choose another base folder, then deploy again",
            )

    def get(self, source: str, target: Path) -> None:
        done = self.run(["cat", "--", source])
        if done.code:
            raise TargetError(f"cannot read {source} on {self.name}", cause=last_line(done.err))
        target.write_bytes(done.out)

    def connect(self, address: str, *, timeout: float) -> socket.socket:
        """A socket of this process whose other end a relay on the machine carries to `address`."""
        process = self._begin(RELAY, address, str(timeout))
        err = Drained(process.read_error)
        said = _within(timeout + _BEGIN, lambda: _first_line(process))
        if said is None or said[0] != b"connected":
            process.close()
            err.ended(1.0)
            raise TargetError(
                f"nothing answers at {address.partition(':')[2]} on {self.name}",
                cause=err.last_line,
                fix="See mlship status",
            )
        near, far = socket.socketpair()
        near.settimeout(timeout)
        threading.Thread(target=_upwards, args=(far, process), daemon=True).start()
        threading.Thread(target=_downwards, args=(far, process, said[1]), daemon=True).start()
        return near

    def host_keys(self) -> tuple[str, ...]:
        """The host keys that the machine shows now, whether they are known or not: one of each kind."""
        return tuple(key for kind in KINDS.values() if (key := self._wire.shown(kind)))

    def _begin(self, program: str, *words: str) -> Process:
        return self.start([self._python, "-I", "-S", "-c", program, *words])

    def close(self) -> None:
        """Hang up; the next use calls again."""
        self._wire.close()


def _feed(process: Process, data: bytes) -> None:
    with contextlib.suppress(OSError):  # it ended without reading all: its exit code says why
        for start in range(0, len(data), _CHUNK):
            process.write(data[start : start + _CHUNK])
        process.end_input()


def _first_line(process: Process) -> tuple[bytes, bytes]:
    """The first line of its output without the line's end, and what came with it."""
    said = b""
    while b"\n" not in said and len(said) < _CHUNK:
        data = process.read(64)
        if not data:
            break
        said += data
    line, _, more = said.partition(b"\n")
    return line, more


def _within(timeout: float, work: Callable[[], tuple[bytes, bytes]]) -> tuple[bytes, bytes] | None:
    """The result of `work`, or None if it takes longer."""
    results: list[tuple[bytes, bytes]] = []

    def do() -> None:
        with contextlib.suppress(OSError, ValueError):
            results.append(work())

    thread = threading.Thread(target=do, daemon=True)
    thread.start()
    thread.join(timeout)
    return results[0] if results else None


def _upwards(far: socket.socket, process: Process) -> None:
    with contextlib.suppress(OSError):
        while data := far.recv(_CHUNK):
            process.write(data)
        process.end_input()


def _downwards(far: socket.socket, process: Process, first: bytes) -> None:
    with contextlib.suppress(OSError, ValueError):
        far.sendall(first)
        while data := process.read(_CHUNK):
            far.sendall(data)
    with contextlib.suppress(OSError):
        far.shutdown(socket.SHUT_RDWR)
    far.close()
    process.close()
