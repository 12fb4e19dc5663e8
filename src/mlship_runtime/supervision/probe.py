"""Asks a release by HTTP which bundle it serves."""

from __future__ import annotations

import socket
from pathlib import Path

from mlship_runtime.errors import NotReady

PATH = "/v2/health/ready"
DIGEST_HEADER = "mlship-bundle"
_HEAD_LIMIT = 16384
_REQUEST = f"GET {PATH} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode("ascii")


def digest_on_socket(path: Path, timeout: float = 10.0) -> str:
    """The digest of the bundle that answers on a worker's Unix socket; raises NotReady."""
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(timeout)
            client.connect(str(path))
            return _digest(client, str(path))
    except OSError as error:
        raise NotReady(f"{path} does not answer", cause=str(error)) from error


def digest_on_port(host: str, port: int, timeout: float = 10.0) -> str:
    """The digest of the bundle that answers on `host`:`port`; raises NotReady."""
    place = f"{host}:{port}"
    try:
        with socket.create_connection((host, port), timeout) as client:
            return _digest(client, place)
    except OSError as error:
        raise NotReady(f"{place} does not answer", cause=str(error)) from error


def _digest(client: socket.socket, place: str) -> str:
    """What the digest's header says in an answer with status 200."""
    client.sendall(_REQUEST)
    data = b""
    while b"\r\n\r\n" not in data and len(data) < _HEAD_LIMIT:
        more = client.recv(_HEAD_LIMIT)
        if not more:
            raise NotReady(f"{place} ended without an answer")
        data += more
    head = data.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    if head[0].split(" ")[1:2] != ["200"]:
        raise NotReady(f"{place} is not ready", cause=f"GET {PATH} answered {head[0][:80]!r}")
    headers = dict(line.lower().split(":", 1) for line in head[1:] if ":" in line)
    return headers.get(DIGEST_HEADER, "").strip()
