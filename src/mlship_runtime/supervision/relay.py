"""Joins standard input and output of this process with a socket in its container: so a deployer outside
reaches a candidate, which has no port, and the port of the service where nothing else leads to it.
"""

from __future__ import annotations

import os
import select
import socket

from mlship_runtime.errors import NotReady, SiteError
from mlship_runtime.supervision.listening import PORT_OF_CONTAINER
from mlship_runtime.supervision.shared import Shared

PORT = "port"  # stands for the port of the service
_CHUNK = 65536
_CONNECT = 10.0  # seconds
_INPUT, _OUTPUT = 0, 1


def main(layout: Shared, where: str) -> int:
    """Relay until the socket ends. `where` is PORT or the name of a worker's socket. Raises NotReady if
    nobody listens there."""
    with _connected(layout, where) as stream:
        sources = [_INPUT, stream.fileno()]
        while True:
            readable, _, _ = select.select(sources, [], [])
            if stream.fileno() in readable:
                data = stream.recv(_CHUNK)
                if not data:
                    return 0
                _write(data)
            if _INPUT in readable:
                data = os.read(_INPUT, _CHUNK)
                if data:
                    stream.sendall(data)
                else:  # whoever has asked may still wait for the answer
                    stream.shutdown(socket.SHUT_WR)
                    sources.remove(_INPUT)


def _connected(layout: Shared, where: str) -> socket.socket:
    known = {sockets.web.name: sockets.web for sockets in layout.found_workers()}
    if where != PORT and where not in known:
        raise SiteError(f"{where[:80]!r} is no socket of a release here", fix="See mlship status")
    try:
        if where == PORT:
            stream = socket.create_connection(("127.0.0.1", PORT_OF_CONTAINER), _CONNECT)
        else:
            stream = socket.socket(socket.AF_UNIX)
            stream.settimeout(_CONNECT)
            stream.connect(str(known[where]))
    except OSError as error:
        raise NotReady(f"nothing answers at {where}", cause=str(error)) from error
    stream.settimeout(None)
    return stream


def _write(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(_OUTPUT, view) :]
