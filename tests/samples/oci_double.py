"""A registry inside the test that does what its script says: asks for credentials, cuts connections, lies.

It speaks enough of the OCI distribution specification for pushes and pulls, keeps everything in memory, and
notes each request with the bytes that came and went.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

KINDS = ("reset", "close", "stall", "500", "503", "429", "401")
PIECE = 16 << 10
USER, PASSWORD = "ann", "pass-word-canary"


@dataclass
class Fault:
    """Happens to the first request of `method` whose path has `part`, after `offset` bytes of its body."""

    kind: str
    method: str
    part: str
    offset: int = 0
    retry_after: str = "0"


@dataclass
class Seen:
    """A request: what came with it, how it was answered, and bytes of its body in and out."""

    method: str
    path: str
    headers: dict[str, str]
    status: int = 0
    came: int = 0
    went: int = 0


@dataclass
class Double:
    """`auth` is none, basic or bearer; `anonymous` lets tokens be had without credentials. `lie` may answer a
    request in place of the rest: it gets the handler and says whether it did. `vendor` refuses what a vendor
    of VENDORS does."""

    auth: str = "none"
    referrers: bool = True
    anonymous: bool = False
    largest_body: int | None = None
    vendor: str = ""
    mounts: bool = True
    redirect_blobs: str = ""
    page: int = 1000
    lie: Callable[[Handler], bool] | None = None
    url: str = ""
    faults: list[Fault] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    blobs: dict[tuple[str, str], bytes] = field(default_factory=dict)
    manifests: dict[tuple[str, str], tuple[bytes, str]] = field(default_factory=dict)
    uploads: dict[str, bytes] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)
    issued: int = 0
    released: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc

    def of(self, method: str, part: str = "") -> list[Seen]:
        return [x for x in self.seen if x.method == method and part in x.path]


@contextmanager
def running(double: Double, *, tls: Any = None) -> Iterator[Double]:
    """Serve it on a free port of the loopback."""
    server = _Server(("127.0.0.1", 0), Handler)
    server.double = double
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    name = "localhost" if tls is not None else "127.0.0.1"
    double.url = f"{'https' if tls is not None else 'http'}://{name}:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield double
    finally:
        double.released.set()
        server.shutdown()
        server.server_close()
        thread.join(5)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    double: Double

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away in the middle are what this is for."""


class _Cut(Exception):
    """The connection is gone, or the answer was given early."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing: the test looks at `seen`."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self.serve
        raise AttributeError(name)

    def serve(self) -> None:
        self.double = self.server.double
        self.parts = urlsplit(self.path)
        self.query = {key: values[0] for key, values in parse_qs(self.parts.query).items()}
        self.now = Seen(self.command, self.path, dict(self.headers))
        with self.double.lock:
            self.double.seen.append(self.now)
            found = [x for x in self.double.faults if x.method == self.command and x.part in self.path]
            self.fault = found[0] if found else None
            if self.fault:
                self.double.faults.remove(self.fault)
        try:
            self.route()
        except (_Cut, OSError):
            self.close_connection = True

    def route(self) -> None:
        if self.double.lie and self.double.lie(self):
            return None
        if self.parts.path == "/token":
            return self.token()
        if not self.allowed():
            self.body()
            return self.deny()
        for form, work in (
            (r"/v2/", lambda: self.answer(200)),
            (r"/v2/_catalog", self.catalog),
            (r"/v2/(?P<repo>.+)/tags/list", self.tags),
            (r"/v2/(?P<repo>.+)/referrers/(?P<ref>.+)", self.list_referrers),
            (r"/v2/(?P<repo>.+)/manifests/(?P<ref>.+)", self.manifest),
            (r"/v2/(?P<repo>.+)/blobs/uploads/(?P<ref>.*)", self.upload),
            (r"/v2/(?P<repo>.+)/blobs/(?P<ref>.+)", self.blob),
        ):
            match = re.fullmatch(form, self.parts.path)
            if match:
                self.repo, self.ref = match.groupdict().get("repo", ""), match.groupdict().get("ref", "")
                return work()
        return self.error(404, "NOT_HERE")

    # who may

    def allowed(self) -> bool:
        told = self.headers.get("Authorization", "")
        if self.double.auth == "none":
            return True
        if self.double.auth == "basic":
            return told == "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        return told.removeprefix("Bearer ") in self.double.tokens

    def deny(self) -> None:
        want = 'Basic realm="here"'
        if self.double.auth == "bearer":
            want = f'Bearer realm="{self.double.url}/token",service="here",scope="repository:x:pull"'
        self.error(401, "UNAUTHORIZED", {"WWW-Authenticate": want})

    def token(self) -> None:
        told = self.headers.get("Authorization", "")
        sent = self.body()
        right = told == "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        right = right or b"refresh_token=identity-canary" in sent
        if not right and (told or not self.double.anonymous):
            return self.error(401, "UNAUTHORIZED")
        with self.double.lock:
            self.double.issued += 1
            token = f"token-canary-{self.double.issued}"
            self.double.tokens.add(token)
        return self.answer(200, json.dumps({"token": token, "expires_in": 300}).encode())

    # documents

    def catalog(self) -> None:
        self.listed("repositories", sorted({repo for repo, _ in self.double.manifests}))

    def tags(self) -> None:
        known = [ref for repo, ref in self.double.manifests if repo == self.repo]
        if not known:
            return self.error(404, "NAME_UNKNOWN")
        return self.listed("tags", sorted(ref for ref in known if ":" not in ref))

    def listed(self, key: str, members: list[str]) -> None:
        after = self.query.get("last", "")
        page = [x for x in members if x > after][: self.double.page]
        more = bool(page) and page[-1] != members[-1]
        link = {"Link": f'<{self.parts.path}?n=1&last={page[-1]}>; rel="next"'} if more else {}
        self.answer(200, json.dumps({key: page}).encode(), link)

    def list_referrers(self) -> None:
        if self.double.vendor == "harbor 2.7":
            return self.error(401, "UNAUTHORIZED")
        if not self.double.referrers:
            return self.error(404, "NOT_HERE")
        found = []
        for (repo, ref), (data, kind) in self.double.manifests.items():
            value = json.loads(data)
            if repo == self.repo and ":" in ref and value.get("subject", {}).get("digest") == self.ref:
                found.append({"mediaType": kind, "digest": ref, "size": len(data)})
        return self.answer(200, json.dumps({"schemaVersion": 2, "manifests": found}).encode())

    def manifest(self) -> None:
        data = self.body()
        if self.command == "PUT":
            return self.put_manifest(data)
        key = (self.repo, self.ref)
        if key not in self.double.manifests:
            return self.error(404, "MANIFEST_UNKNOWN")
        if self.command == "DELETE":
            del self.double.manifests[key]
            return self.answer(202)
        data, kind = self.double.manifests[key]
        return self.answer(200, data, {"Docker-Content-Digest": digest_of(data), "Content-Type": kind})

    def put_manifest(self, data: bytes) -> None:
        value = json.loads(data)
        if self.double.vendor and (no := VENDORS[self.double.vendor](self, value)):
            return self.error(*no)
        for blob in [*value.get("layers", []), *([value["config"]] if "config" in value else [])]:
            if (self.repo, blob["digest"]) not in self.double.blobs:
                return self.error(400, "MANIFEST_BLOB_UNKNOWN")
        entry = (data, self.headers["Content-Type"])
        with self.double.lock:
            self.double.manifests[self.repo, digest_of(data)] = entry
            self.double.manifests[self.repo, self.ref] = entry
        says_so = self.double.referrers or self.double.vendor == "ecr 2024"
        subject = value.get("subject", {}).get("digest") if says_so else None
        told = {"Docker-Content-Digest": digest_of(data), **({"OCI-Subject": subject} if subject else {})}
        return self.answer(201, b"", told)

    # blobs

    def blob(self) -> None:
        data = self.double.blobs.get((self.repo, self.ref))
        if data is None:
            return self.error(404, "BLOB_UNKNOWN")
        if self.double.redirect_blobs and self.command == "GET":
            return self.answer(307, b"", {"Location": self.double.redirect_blobs + self.path})
        begin = re.fullmatch(r"bytes=([0-9]+)-", self.headers.get("Range", ""))
        if not begin:
            return self.answer(200, data)
        at = int(begin[1])
        return self.answer(206, data[at:], {"Content-Range": f"bytes {at}-{len(data) - 1}/{len(data)}"})

    def upload(self) -> None:
        limit = self.double.largest_body
        if limit is not None and int(self.headers.get("Content-Length") or 0) > limit:
            self.error(413, "", {"Connection": "close"})
            raise _Cut
        data = self.body()
        if self.command == "POST":
            return self.begin_upload()
        session = self.ref
        if session not in self.double.uploads:
            return self.error(404, "BLOB_UPLOAD_UNKNOWN")
        if self.command == "DELETE":
            del self.double.uploads[session]
            return self.answer(204)
        whole = self.double.uploads[session] + data
        if self.command == "PATCH":
            self.double.uploads[session] = whole
            return self.answer(202, b"", {"Location": f"/v2/{self.repo}/blobs/uploads/{session}?state=x"})
        if digest_of(whole) != self.query.get("digest"):
            return self.error(400, "DIGEST_INVALID")
        del self.double.uploads[session]
        self.double.blobs[self.repo, digest_of(whole)] = whole
        return self.answer(201)

    def begin_upload(self) -> None:
        wanted = (self.query.get("from", ""), self.query.get("mount", ""))
        if self.double.mounts and wanted in self.double.blobs:
            self.double.blobs[self.repo, wanted[1]] = self.double.blobs[wanted]
            return self.answer(201)
        with self.double.lock:
            session = f"s{len(self.double.seen)}"
            self.double.uploads[session] = b""
        return self.answer(202, b"", {"Location": f"/v2/{self.repo}/blobs/uploads/{session}?state=a"})

    # bytes

    def body(self) -> bytes:
        length = int(self.headers.get("Content-Length") or 0)
        whole = bytearray()
        stop = self.fault.offset if self.fault and self.command != "GET" else None
        while len(whole) < length:
            if stop is not None and len(whole) >= stop:
                break
            most = min(PIECE, length - len(whole), (stop - len(whole)) if stop else PIECE)
            piece = self.rfile.read1(most)
            if not piece:
                raise _Cut
            whole += piece
            self.now.came += len(piece)
        if stop is not None:
            self.happen()
        return bytes(whole)

    def answer(self, status: int, data: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.now.status = status
        cut = self.fault if self.fault and self.command == "GET" else None
        if cut and cut.kind.isdigit() and not cut.offset:
            self.happen()
        self.send_response(status)
        told = {"Content-Length": str(len(data)), **(headers or {})}
        for name, value in told.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        for at in range(0, len(data), PIECE):
            piece = data[at : at + PIECE]
            if cut and at + len(piece) > cut.offset:
                self.wfile.write(piece[: cut.offset - at])
                self.now.went += cut.offset - at
                self.happen()
            self.wfile.write(piece)
            self.now.went += len(piece)

    def error(self, status: int, code: str, headers: dict[str, str] | None = None) -> None:
        data = (
            json.dumps({"errors": [{"code": code, "message": "as the script says"}]}).encode()
            if code
            else b""
        )
        self.answer(status, data, headers)

    def happen(self) -> None:
        """What the fault is."""
        fault, self.fault = self.fault, None
        assert fault is not None
        if fault.kind.isdigit() and self.command == "GET" and self.now.status == 200 and fault.offset:
            # Too late to say it in this answer: it is cut, and the next one says it.
            self.double.faults.append(Fault(fault.kind, "GET", fault.part, 0, fault.retry_after))
        elif fault.kind == "401":
            self.double.tokens.clear()
            self.deny()
        elif fault.kind.isdigit():
            late = {"Retry-After": fault.retry_after} if fault.kind == "429" else {}
            self.error(
                int(fault.kind), "TOOMANYREQUESTS" if late else "UNKNOWN", {**late, "Connection": "close"}
            )
        elif fault.kind == "stall":
            self.double.released.wait(20)
        elif fault.kind == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.rfile.close()
            self.wfile.close()
            self.connection.close()
        raise _Cut


OCI_IMAGE = "application/vnd.oci.image.manifest.v1+json"
DOCKER_IMAGE = "application/vnd.docker.distribution.manifest.v2+json"
INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
CONFIGS = {"application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"}
LAYERS = {
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
}
No = tuple[int, str]


def _gitlab(handler: Handler, value: dict[str, Any]) -> No | None:
    """Config and artifact types of its own list only."""
    said = {value.get("artifactType"), value.get("config", {}).get("mediaType")} - {None}
    return (
        (400, "MANIFEST_INVALID") if said - CONFIGS - {"application/vnd.cncf.helm.config.v1+json"} else None
    )


def _quay(handler: Handler, value: dict[str, Any]) -> No | None:
    """Images whose config tells each layer, and nothing else."""
    if handler.headers["Content-Type"] in INDEXES:
        return None
    config = value.get("config", {})
    if config.get("mediaType") not in CONFIGS or {x["mediaType"] for x in value["layers"]} - LAYERS:
        return 415, "MANIFEST_INVALID"
    told = json.loads(handler.double.blobs[handler.repo, config["digest"]])
    whole = len(told["history"]) == len(told["rootfs"]["diff_ids"]) == len(value["layers"]) > 0
    return None if whole and told["architecture"] and told["os"] else (400, "MANIFEST_INVALID")


def _ecr(handler: Handler, value: dict[str, Any]) -> No | None:
    """No words of OCI 1.1."""
    return (405, "UNSUPPORTED") if {"artifactType", "subject"} & value.keys() else None


def _artifactory(handler: Handler, value: dict[str, Any]) -> No | None:
    """Docker's own types alone."""
    types = {handler.headers["Content-Type"], value.get("mediaType")}
    if types - {DOCKER_IMAGE} or any("oci" in x["mediaType"] for x in [value["config"], *value["layers"]]):
        return 400, "MANIFEST_INVALID"
    return None


VENDORS: dict[str, Callable[[Handler, dict[str, Any]], No | None]] = {
    "gitlab": _gitlab,
    "quay": _quay,
    "ecr": _ecr,
    "ecr 2024": lambda handler, value: None,  # says OCI-Subject and lists nothing
    "artifactory 6": _artifactory,
    "harbor 2.7": lambda handler, value: None,
    "takes nothing": lambda handler, value: (400, "MANIFEST_INVALID"),
}


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def until(found: Callable[[], Any], seconds: float = 10.0) -> Any:
    """What `found` gives as soon as it is true."""
    end = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.02)
    return value
