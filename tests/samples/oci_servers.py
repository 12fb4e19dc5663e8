"""Starts the real `docker-registry` on the loopback: open, with a password file, or with tokens."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread, Timer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from listening import free_port, wait_for
from oci_double import PASSWORD, USER

# bcrypt of PASSWORD, as htpasswd -B writes it
HTPASSWD = "$2b$05$6Cz1jpJTCBWOaZIr8pxFmutXE43snU0SpVm3qdHmNwLWUtRBs1P6u"
ISSUER, SERVICE = "the tests", "registry of the tests"


@dataclass
class DockerRegistry:
    """A running server; `fall` kills it, and it comes back on its port and folder."""

    folder: Path
    port: int
    auth: str = ""
    process: subprocess.Popen[bytes] | None = None
    returning: Timer | None = None

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        config = self.folder / "config.yml"
        config.write_text(
            "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
            f"storage: {{filesystem: {{rootdirectory: {self.folder}/data}}, delete: {{enabled: true}}}}\n"
            f"http: {{addr: '127.0.0.1:{self.port}', secret: of the tests}}\n{self.auth}"
        )
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(["docker-registry", "serve", str(config)], stdout=log, stderr=log)
        wait_for(self.port, self.process, self.folder / "log")

    def fall(self, seconds: float = 1.0) -> None:
        """Die now, and be back after so long."""
        self.kill()
        self.returning = Timer(seconds, self.start)
        self.returning.start()

    def end(self) -> None:
        if self.returning is not None:
            self.returning.join(20)
        self.kill()

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None


@contextmanager
def docker_registry(folder: Path, way: str = "open") -> Iterator[DockerRegistry]:
    """`way` is open, htpasswd or token."""
    folder.mkdir(parents=True, exist_ok=True)
    if way == "token":
        with _token_server(folder) as realm:
            auth = (
                f"auth: {{token: {{realm: '{realm}', service: '{SERVICE}', issuer: '{ISSUER}', "
                f"rootcertbundle: {folder}/issuer.pem}}}}\n"
            )
            yield from _served(folder, auth)
        return
    (folder / "htpasswd").write_text(f"{USER}:{HTPASSWD}\n")
    auth = f"auth: {{htpasswd: {{realm: here, path: {folder}/htpasswd}}}}\n" if way == "htpasswd" else ""
    yield from _served(folder, auth)


def _served(folder: Path, auth: str) -> Iterator[DockerRegistry]:
    port = free_port()
    server = DockerRegistry(folder, port, auth)
    server.start()
    try:
        yield server
    finally:
        server.end()


@contextmanager
def _token_server(folder: Path) -> Iterator[str]:
    """The realm's URL. It gives tokens (ES256, with the issuer's certificate) for what is asked, to USER."""
    key, certificate = _issuer(folder / "issuer.pem")

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Nothing."""

        def do_GET(self) -> None:
            right = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            if self.headers.get("Authorization") != right:
                self.send_response(401)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            scopes = parse_qs(urlsplit(self.path).query).get("scope", [])
            data = json.dumps({"token": _token(key, certificate, scopes), "expires_in": 120}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/token"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def _issuer(file: Path) -> tuple[Any, str]:
    """A key and its self-signed certificate (DER in base64), which is also written to `file`."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "issuer")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return key, base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()


def _token(key: Any, certificate: str, scopes: list[str]) -> str:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    now = int(time.time())
    access = []
    for scope in " ".join(scopes).split():
        kind, _, rest = scope.partition(":")
        name, _, actions = rest.rpartition(":")
        access.append({"type": kind, "name": name, "actions": actions.split(",")})
    head = {"typ": "JWT", "alg": "ES256", "x5c": [certificate]}
    claims = {"iss": ISSUER, "sub": USER, "aud": SERVICE, "access": access}
    claims |= {"exp": now + 120, "nbf": now - 10, "iat": now, "jti": str(now)}
    said = f"{_text(json.dumps(head).encode())}.{_text(json.dumps(claims).encode())}"
    r, s = decode_dss_signature(key.sign(said.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{said}.{_text(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
