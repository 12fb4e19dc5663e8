"""The front container as seen from outside: orders to it, and streams through it, by `docker exec`."""

from __future__ import annotations

import json
import socket
import struct
import threading
from contextlib import suppress
from typing import Any

from mlship.errors import TargetError
from mlship.host.protocol import Lost
from mlship.host.site import refusal
from mlship_docker.engine import Engine

PORT = "port"  # where to connect to reach what is live
_HEADER = struct.Struct(">BxxxL")  # of a piece of an attached stream: which stream, how many bytes
_OUT, _ERR = 1, 2
_CHUNK = 65536


class Front:
    """`container` is what the engine tells of it (inspect)."""

    def __init__(self, engine: Engine, container: dict[str, Any]) -> None:
        self._engine, self._id = engine, container["Id"]
        self._start = list(container["Config"]["Entrypoint"])

    def order(self, verb: str, **given: Any) -> dict[str, Any]:
        """Raises TargetError, or the error that the front names."""
        api, text = self._engine.api, json.dumps({"verb": verb, **given})
        with self._engine.asked(f"the front cannot be given the order {verb}"):
            made = api.exec_create(self._id, [*self._start, "order", text])
            out, err = api.exec_start(made["Id"], demux=True)
        try:
            answer: dict[str, Any] = json.loads(out or b"")
        except ValueError:
            said = (err or out or b"it said nothing").decode(errors="replace").strip().splitlines()[-1]
            raise TargetError(f"the front does not take the order {verb}", cause=said[:300]) from None
        if answer.pop("ok", False):
            return answer
        raise refusal(answer)

    def connect(self, where: str, timeout: float) -> socket.socket:
        """A stream to PORT or to a release's socket, which is relayed on threads until either end goes."""
        api = self._engine.api
        with self._engine.asked("the front cannot be reached"):
            made = api.exec_create(self._id, [*self._start, "connect", where], stdin=True)
            attached = api.exec_start(made["Id"], socket=True)
        ours, theirs = socket.socketpair()
        ours.settimeout(timeout)
        raw = getattr(attached, "_sock", attached)
        raw.settimeout(None)
        threading.Thread(target=_up, args=(theirs, raw), daemon=True).start()
        threading.Thread(target=_down, args=(attached, raw, theirs), daemon=True).start()
        return ours


def _up(theirs: socket.socket, raw: Any) -> None:
    with suppress(OSError):
        while data := theirs.recv(_CHUNK):
            raw.sendall(data)
    with suppress(OSError):
        raw.shutdown(socket.SHUT_WR)


def _down(attached: Any, raw: Any, theirs: socket.socket) -> None:
    """What comes out of the relay, without what frames it; what it complains of ends the stream."""
    with suppress(OSError, Lost):
        while head := _exactly(raw, _HEADER.size):
            kind, size = _HEADER.unpack(head)
            data = _exactly(raw, size)
            if kind == _ERR:
                break
            theirs.sendall(data)
    with suppress(OSError):
        theirs.shutdown(socket.SHUT_RDWR)
    theirs.close()
    with suppress(OSError):
        raw.shutdown(socket.SHUT_RDWR)
    attached.close()
    raw.close()


def _exactly(raw: Any, size: int) -> bytes:
    """`size` bytes, or none at the end. Raises Lost if it ends in between."""
    found = b""
    while len(found) < size:
        more = raw.recv(size - len(found))
        if not more:
            if found:
                raise Lost("the engine's stream broke")
            return b""
        found += more
    return found
