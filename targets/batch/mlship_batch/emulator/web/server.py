"""HTTP: reads requests strictly, asks who it is, lets faults strike, hands on to the REST interfaces."""

from __future__ import annotations

import base64
import hmac
import json
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import BinaryIO, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from mlship_batch.emulator.faults import Fault, Faults
from mlship_batch.emulator.web.exchange import Answer, Problem, Request, as_json

FAULTS = "/emulator/faults"  # not z/OSMF's
INFO = "/zosmf/info"
CSRF = "x-csrf-zosmf-header"
_IN_MEMORY = 1 << 20
_CHUNK = 1 << 16
_LONGEST_LINE = 64

Interface = Callable[[Request], Answer]


class Server(ThreadingHTTPServer):
    """`interfaces` by how their paths begin; `users` with their passwords, none of which is ever shown."""

    daemon_threads = True

    def __init__(self, place: tuple[str, int], users: Mapping[str, str], faults: Faults) -> None:
        super().__init__(place, Handler)
        self.users, self.faults = users, faults
        self.interfaces: dict[str, Interface] = {}

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is no error; nothing else comes here."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server
    timeout = 60

    def log_message(self, format: str, *words: object) -> None:  # noqa: A002
        """Who asked what is nobody's business."""

    def do_GET(self) -> None:
        self._handle()

    def do_PUT(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def do_DELETE(self) -> None:
        self._handle()

    def _handle(self) -> None:
        target = urlsplit(self.path)
        path = unquote(target.path)
        with cast(BinaryIO, tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)) as body:
            whole = self._read(body)
            fault = None if path == FAULTS else self.server.faults.request(self.command, path)
            answer = self._before(fault) or self._answer(path, dict(parse_qsl(target.query)), body, whole)
            if not whole or (fault is not None and fault.do == "drop after"):
                self.close_connection = True
                return
            with suppress(ConnectionError):
                self._send(answer, fault)

    def _before(self, fault: Fault | None) -> Answer | None:
        if fault is None or fault.do in ("drop after", "cut"):
            return None
        if fault.do == "wait":
            time.sleep(fault.seconds)
            return None
        if fault.do == "drop":
            raise ConnectionAbortedError
        said = {"message": "as the fault script says"} if fault.body is None else fault.body
        return as_json(said, fault.status)

    def _answer(self, path: str, query: dict[str, str], body: BinaryIO, whole: bool) -> Answer:
        headers = {name.lower(): value for name, value in self.headers.items()}
        if path == INFO:
            return _info(self.server)
        if path == FAULTS:
            return self._script(body)
        user = self._user(headers.get("authorization", ""))
        if user is None:
            challenge = {"WWW-Authenticate": 'Basic realm="zOSMF"', "Content-Type": "text/html"}
            return Answer(401, b"<html>401 Unauthorized</html>", challenge)
        if CSRF not in headers:
            return as_json(
                {"rc": 4, "reason": 3, "category": 1, "message": "X-CSRF-ZOSMF-HEADER is missing"}, 403
            )
        request = Request(self.command, path, query, headers, user, body, whole)
        for prefix, interface in self.server.interfaces.items():
            if path == prefix or path.startswith(prefix + "/"):
                try:
                    return interface(request)
                except Problem as problem:
                    return problem.answer
                except (ValueError, KeyError, TypeError) as wrong:
                    return Problem(500, 16, 8, 0, f"Unexpected error: {wrong}").answer
        return as_json({"message": f"There is nothing at {path}"}, 404)

    def _user(self, authorization: str) -> str | None:
        kind, _, token = authorization.partition(" ")
        try:
            name, _, password = base64.b64decode(token, validate=True).decode("utf-8").partition(":")
        except ValueError:
            return None
        kept = self.server.users.get(name.upper())
        right = kept is not None and hmac.compare_digest(kept.encode(), password.encode())
        return name.upper() if kind.lower() == "basic" and right else None

    def _script(self, body: BinaryIO) -> Answer:
        if self.command == "GET":
            return as_json({"faults": self.server.faults.left()})
        body.seek(0)
        try:
            self.server.faults.load(json.loads(body.read()))
        except ValueError as wrong:
            return as_json({"message": str(wrong)}, 400)
        return Answer(204)

    def _read(self, body: BinaryIO) -> bool:
        """The body, into `body`; whether it came whole."""
        try:
            body.writelines(self._chunks() if self._chunked() else self._counted())
        except (OSError, ValueError):
            return False
        return True

    def _chunked(self) -> bool:
        return "chunked" in self.headers.get("Transfer-Encoding", "").lower()

    def _counted(self) -> Iterator[bytes]:
        left = int(self.headers.get("Content-Length") or 0)
        while left:
            part = self.rfile.read(min(left, _CHUNK))
            if not part:
                raise ConnectionError("the body is short")
            left -= len(part)
            yield part

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline(_LONGEST_LINE).split(b";")[0], 16):
            while size:
                part = self.rfile.read(min(size, _CHUNK))
                if not part:
                    raise ConnectionError("the body is short")
                size -= len(part)
                yield part
            self.rfile.readline(_LONGEST_LINE)
        while self.rfile.readline(_LONGEST_LINE).strip():
            continue

    def _send(self, answer: Answer, fault: Fault | None) -> None:
        body = answer.body if isinstance(answer.body, bytes) else b"".join(answer.body)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status not in (204, 304):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if fault is not None and fault.do == "cut":
            self.wfile.write(body[: fault.size])
            self.close_connection = True
        elif answer.status not in (204, 304):
            self.wfile.write(body)


def _info(server: Server) -> Answer:
    return as_json(
        {
            "zos_version": "04.29.00", "zosmf_port": str(server.port), "zosmf_version": "29",
            "zosmf_hostname": "127.0.0.1", "zosmf_saf_realm": "SAFRealm", "api_version": "1",
            "zosmf_full_version": "29.0", "plugins": [],
        }
    )  # fmt: skip


def with_tls(server: Server, certificate: str, key: str) -> None:
    """Speak TLS 1.2 and newer with this certificate. Raises OSError (ssl.SSLError)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
