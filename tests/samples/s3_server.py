"""An S3 of one's own on the loopback: moto, with what it lets pass checked in front of it.

`python s3_server.py` serves until its standard input ends, and says its port. Refused is a request without a
signature's header, whose body is not what Content-Length, x-amz-content-sha256, Content-MD5 or
x-amz-checksum-sha256 say, a write without SHA-256, a completed upload whose parts are not those that came.
Writes are taken one after the other, as the real service decides conditions.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import sys
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server


class Refusal(Exception):
    def __init__(self, status: str, code: str) -> None:
        self.status, self.code = status, code


class Checked:
    """A WSGI application in front of moto's."""

    def __init__(self, moto: Callable[..., Iterable[bytes]]) -> None:
        self._moto = moto
        self._writing = threading.Lock()
        self._begun: dict[str, str] = {}  # upload -> when
        self._parts: dict[tuple[str, str], str] = {}  # (upload, part number) -> SHA-256

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        query = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"], True).items()}
        try:
            self._check(environ, body, query)
        except Refusal as refusal:
            said = f"<Error><Code>{refusal.code}</Code><Message>refused</Message></Error>".encode()
            start(refusal.status, [("Content-Type", "application/xml"), ("Content-Length", str(len(said)))])
            return [said]
        if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            return self._answer(environ, start, query)
        with self._writing:
            answer = b"".join(self._moto(environ, start))
        for upload in re.findall(r"<UploadId>([^<]+)<", answer.decode()) if "uploads" in query else ():
            self._begun[upload] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        return [answer]

    def _check(self, environ: dict[str, Any], body: bytes, query: dict[str, str]) -> None:
        if not environ.get("HTTP_AUTHORIZATION", "").startswith("AWS4-HMAC-SHA256 Credential="):
            raise Refusal("403 Forbidden", "AccessDenied")
        if len(body) != int(environ.get("CONTENT_LENGTH") or 0):
            raise Refusal("400 Bad Request", "IncompleteBody")
        signed = environ.get("HTTP_X_AMZ_CONTENT_SHA256", "")
        if signed != "UNSIGNED-PAYLOAD" and signed != hashlib.sha256(body).hexdigest():
            raise Refusal("400 Bad Request", "XAmzContentSHA256Mismatch")
        md5 = environ.get("HTTP_CONTENT_MD5")
        if md5 and md5 != base64.b64encode(hashlib.md5(body).digest()).decode():
            raise Refusal("400 Bad Request", "BadDigest")
        if environ["REQUEST_METHOD"] == "PUT" and "/" in environ["PATH_INFO"].strip("/"):
            self._check_value(environ.get("HTTP_X_AMZ_CHECKSUM_SHA256"), body, query)
        if environ["REQUEST_METHOD"] == "POST" and "uploadId" in query:
            self._check_parts(body.decode(), query["uploadId"])

    def _check_value(self, said: str | None, body: bytes, query: dict[str, str]) -> None:
        if said is None:
            raise Refusal("400 Bad Request", "InvalidRequest")
        if said != base64.b64encode(hashlib.sha256(body).digest()).decode():
            raise Refusal("400 Bad Request", "BadDigest")
        if "uploadId" in query:
            self._parts[query["uploadId"], query["partNumber"]] = said

    def _check_parts(self, named: str, upload: str) -> None:
        for part in re.findall(r"<Part>.*?</Part>", named, re.DOTALL):
            number = re.search(r"<PartNumber>(\d+)<", part)
            sha256 = re.search(r"<ChecksumSHA256>([^<]+)<", part)
            if not number or not sha256 or self._parts.get((upload, number[1])) != sha256[1]:
                raise Refusal("400 Bad Request", "InvalidPart")

    def _answer(
        self, environ: dict[str, Any], start: Callable[..., Any], query: dict[str, str]
    ) -> Iterable[bytes]:
        """As moto answers; with the SHA-256 of an upload's parts and the time of uploads, as the real service
        says them."""
        if "uploadId" not in query and "uploads" not in query:
            return self._moto(environ, start)
        held: list[Any] = []
        text = b"".join(self._moto(environ, lambda *words: held.append(words))).decode()

        def with_checksum(part: re.Match[str]) -> str:
            sha256 = self._parts[query["uploadId"], part[2]]
            return f"{part[1]}<ChecksumSHA256>{sha256}</ChecksumSHA256></Part>"

        def with_time(upload: re.Match[str]) -> str:
            return re.sub(r"(<Initiated>)[^<]*", rf"\g<1>{self._begun[upload[1]]}", upload[0])

        text = re.sub(r"<UploadId>([^<]+)<.*?</Upload>", with_time, text, flags=re.DOTALL)
        text = re.sub(r"(<Part>\s*<PartNumber>(\d+)<.*?)</Part>", with_checksum, text, flags=re.DOTALL)
        status, headers, *_ = held[0]
        headers = [(name, value) for name, value in headers if name.lower() != "content-length"]
        start(status, [*headers, ("Content-Length", str(len(text.encode())))])
        return [text.encode()]


class Silent(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *words: object) -> None:
        """Nothing."""


if __name__ == "__main__":
    application = Checked(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Silent)
    print(server.server_port, flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
