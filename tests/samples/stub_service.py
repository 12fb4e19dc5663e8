"""A plain HTTP server in the place of a release, and an adapter that finds it there."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from mlship.host.local import LocalHost
from mlship.host.protocol import Host
from mlship.target.deployment import Deployment, Endpoint, ReleaseState
from mlship.target.protocol import Place
from mlship_runtime.client import Request, Response

DIGEST = "sha256:" + "ab" * 32


class _Release(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        wanted = self.server.token  # type: ignore[attr-defined]
        told = self.headers.get("Authorization", "")
        self.server.peers.add(self.client_address)  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answer, status = (body, 200) if told == wanted else (b'{"error": "no token"}', 401)
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@contextmanager
def release(token: str = "") -> Iterator[ThreadingHTTPServer]:
    """Answers a POST with its body, if it shows the token; `peers` are the connections that it has had."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Release) as server:
        server.token = f"Bearer {token}" if token else ""  # type: ignore[attr-defined]
        server.peers = set()  # type: ignore[attr-defined]
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@dataclass
class StubAdapter:
    """`port` is where the live release is, None if nothing is live."""

    port: int | None
    host: Host = field(default_factory=LocalHost)
    endpoints: tuple[Endpoint, ...] = ()
    offers: frozenset[str] = frozenset({"tunnel"})
    observed: int = 0
    place: Place = field(default_factory=lambda: Place("far", "churn", {}, Path("none")))

    def observe(self) -> Deployment:
        self.observed += 1
        live = ReleaseState(
            number=3, digest=DIGEST, reference="churn:1", settings_digest=DIGEST, state="serving", served=True
        )
        return Deployment(
            service="churn",
            releases=(live,),
            live_number=3 if self.port else None,
            endpoints=self.endpoints,
            facts={"host": "127.0.0.1", "port": self.port},
        )

    def carry(self, seen: Deployment, timeout: float) -> socket.socket:
        return self.host.connect(f"tcp:127.0.0.1:{seen.facts['port']}", timeout=timeout)

    def invoke(self, asked: Request, release: int | None = None) -> Response:
        return Response(200, {}, b"by the adapter")
