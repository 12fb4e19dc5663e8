"""The control protocol, and its plain client: one JSON object a line over a Unix socket.

A request is {schemaVersion, id, verb, …}; its answer {ok: true, id, …} or {ok: false, id, error: {kind, what,
cause, fix}}. The answer to `socket` carries the listening socket (SCM_RIGHTS).
"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Callable

from mlship_runtime.errors import BadInput, Fenced, InvalidBundle, NotReady, RuntimeFault, SiteError

SCHEMA = 1
LINE_LIMIT = 1 << 20  # bytes
_FAULTS: dict[str, type[RuntimeFault]] = {
    fault.kind: fault for fault in (InvalidBundle, BadInput, NotReady, Fenced, SiteError)
}

Message = Mapping[str, Any]


class Unreachable(NotReady):
    """Nobody listens on a control socket, or whoever did is gone."""


class NoAnswer(Unreachable):
    """Somebody listens on a control socket, but has not answered in time."""


def fault_data(fault: RuntimeFault) -> dict[str, str]:
    """A fault as it goes over the wire and into failure files."""
    return {"kind": fault.kind, "what": fault.what, "cause": fault.cause, "fix": fault.fix}


def fault_of(data: Mapping[str, Any]) -> RuntimeFault:
    """The fault that `fault_data` described; of a kind that is not known here, a SiteError."""
    kind = _FAULTS.get(str(data.get("kind")), SiteError)
    return kind(
        str(data.get("what", "unknown")), cause=str(data.get("cause", "")), fix=str(data.get("fix", ""))
    )


def request(path: Path, message: Message, timeout: float = 10.0) -> dict[str, Any]:
    """Ask over the control socket `path`; raises Unreachable, or the fault that it answers with."""
    with _connected(path, timeout) as client:
        return _result(_exchanged(path, lambda: _ask(client, message)), path)


def request_socket(path: Path, timeout: float = 10.0, *, which: str = "") -> socket.socket:
    """The listening socket that the worker behind `path` holds, or its `external` one; raises as `request`
    does. A worker from before there were two gives the only one it has: look at its address."""
    with _connected(path, timeout) as client:
        data, descriptors, _, _ = _exchanged(path, lambda: _ask_for_socket(client, which))
        if not descriptors:
            _result(data, path)
            raise SiteError(f"{path} passed no socket")
        return socket.socket(fileno=descriptors[0])


def line_of(message: Message) -> bytes:
    """A request or answer as it is sent."""
    return json.dumps(message, separators=(",", ":")).encode("utf-8") + b"\n"


def _connected(path: Path, timeout: float) -> socket.socket:
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.settimeout(timeout)
    try:
        client.connect(str(path))
    except OSError as error:
        client.close()
        raise Unreachable(f"nobody listens on {path}", cause=error.strerror or str(error)) from error
    return client


def _ask(client: socket.socket, message: Message) -> bytes:
    client.sendall(line_of({"schemaVersion": SCHEMA, **message}))
    with client.makefile("rb") as stream:
        return stream.readline(LINE_LIMIT)


def _ask_for_socket(client: socket.socket, which: str) -> Any:
    client.sendall(line_of({"schemaVersion": SCHEMA, "verb": "socket", "which": which}))
    return socket.recv_fds(client, 4096, 1)


def _exchanged(path: Path, exchange: Callable[[], Any]) -> Any:
    """What came back; a peer that dies meanwhile is gone, one that is silent is not."""
    try:
        return exchange()
    except socket.timeout as error:
        raise NoAnswer(f"{path} does not answer", cause=str(error)) from error
    except OSError as error:
        raise Unreachable(
            f"{path} was closed without an answer", cause=error.strerror or str(error)
        ) from error


def _result(line: bytes, path: Path) -> dict[str, Any]:
    if not line.endswith(b"\n"):
        raise Unreachable(f"{path} was closed without an answer")
    answer: dict[str, Any] = json.loads(line)
    if answer.get("ok") is not True:
        raise fault_of(answer.get("error") or {})
    return answer
