"""Predictions from a release: by V2, with arrays as bytes, or by any form of /invocations."""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional
from urllib.parse import quote, urlsplit

from mlship_runtime.client import tensors
from mlship_runtime.client.line import Line, Opener, Request, Response
from mlship_runtime.client.tensors import Tensor
from mlship_runtime.errors import BadInput, RuntimeFault

if TYPE_CHECKING:  # where there is no TLS, nothing of it is loaded
    import ssl

TOKEN = "MLSHIP_TOKEN"  # noqa: S105  the variable's name
_JSON = {"Content-Type": "application/json"}


class Refused(RuntimeFault):
    """The release answered with `status`, 400 or more, and why."""

    exit_code = 2
    kind = "refused"

    def __init__(self, status: int, why: str) -> None:
        super().__init__(f"the release answered with status {status}", cause=why)
        self.status = status


@dataclass(frozen=True)
class Answer:
    """The outputs by name, the digest of the bundle that computed them, and the `id` of the request."""

    outputs: Mapping[str, Tensor]
    digest: str
    id: Optional[str]

    def __getitem__(self, name: str) -> Tensor:
        return self.outputs[name]


class Client:
    """Asks the release at `url` (http:, https:, or unix: with the path of a socket) over one connection that
    is kept. Not for several threads at once.

    The bearer token is `token`, else what `token_file` holds at each request, else the environment's
    MLSHIP_TOKEN. `ca` is a file of certificates to trust instead of the system's; `certificate` and `key`
    are files of the client's own. Raises BadInput for a URL of another kind, OSError for files that cannot
    be read."""

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 30.0,
        token: str = "",
        token_file: str = "",
        ca: str = "",
        certificate: str = "",
        key: str = "",
    ) -> None:
        self._timeout, self._token, self._token_file = timeout, token, token_file
        parts = urlsplit(url)
        if parts.scheme == "https":
            opener = _tls(parts.hostname or "", parts.port or 443, _context(ca, certificate, key))
        elif parts.scheme == "http":
            opener = _tcp(parts.hostname or "", parts.port or 80)
        elif parts.scheme == "unix":
            opener = _unix(parts.path)
        else:
            raise BadInput(f"{parts.scheme or 'nothing'} is no scheme of a URL that can be asked")
        self._prefix = parts.path.rstrip("/") if parts.scheme != "unix" else ""
        self._line = Line(opener, parts.netloc.rpartition("@")[2] or "localhost")
        self._datatypes: dict[str, dict[str, str]] = {}

    def infer(
        self,
        model: str,
        inputs: Mapping[str, Any],
        *,
        outputs: Sequence[str] = (),
        version: str = "",
        id: Optional[str] = None,  # noqa: A002  the protocol's word
    ) -> Answer:
        """The outputs for arrays (as bytes) or lists (in JSON, None for what is missing), by V2; all of them,
        if none is named. Raises BadInput, Refused and Unanswered."""
        known: Mapping[str, str] = {}
        views = {name: tensors.buffer_of(value) for name, value in inputs.items()}
        if None in views.values():
            known = self._known(model)
        more: dict[str, Any] = {} if id is None else {"id": id}
        if outputs:
            more["outputs"] = [{"name": name} for name in outputs]
        if any(view is not None for view in views.values()):
            more["parameters"] = {"binary_data_output": True}
        body, length = tensors.encoded(inputs, known, more)
        headers = _JSON
        if length is not None:
            headers = {
                "Content-Type": "application/octet-stream",
                tensors.LENGTH_HEADER: str(length),
            }
        path = _path(model) + (f"/versions/{quote(version, safe='')}" if version else "") + "/infer"
        answer = self.ask(Request(path, body, headers=headers, timeout=self._timeout))
        try:
            document, found = tensors.decoded(answer.body, answer.headers.get(tensors.LENGTH_HEADER.lower()))
        except (ValueError, LookupError, TypeError, struct.error) as error:
            raise Refused(answer.status, f"that is no V2 answer: {error}") from None
        return Answer(found, answer.headers.get("mlship-bundle", ""), document.get("id"))

    def invoke(self, body: bytes, content_type: str = "application/json") -> Any:
        """What `/invocations` answers to a body of that content type; raises Refused and Unanswered."""
        headers = {"Content-Type": content_type, "Accept": "application/json"}
        return json.loads(
            self.ask(Request("/invocations", body, headers=headers, timeout=self._timeout)).body
        )

    def metadata(self, model: str) -> Any:
        """The model's inputs and outputs, as V2 describes them."""
        return json.loads(
            self.ask(Request(_path(model), method="GET", headers={}, timeout=self._timeout)).body
        )

    def ask(self, request: Request) -> Response:
        """The answer to any request; raises Refused and Unanswered."""
        answer = self.exchange(request)
        if answer.status >= 400:
            raise Refused(answer.status, _why(answer.body))
        return answer

    def exchange(self, request: Request) -> Response:
        """What comes back, refusal or not, with the token sent to the URL's place; raises Unanswered."""
        headers, token = dict(request.headers), self._bearer()
        if token:
            headers["Authorization"] = f"Bearer {token}"
        asked = Request(self._prefix + request.path, request.body, request.method, headers, request.timeout)
        return self._line.exchange(asked)

    def close(self) -> None:
        self._line.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _known(self, model: str) -> Mapping[str, str]:
        """The datatypes of a model's inputs, asked for once."""
        if model not in self._datatypes:
            inputs = self.metadata(model)["inputs"]
            self._datatypes[model] = {each["name"]: each["datatype"] for each in inputs}
        return self._datatypes[model]

    def _bearer(self) -> str:
        if self._token or not self._token_file:
            return self._token or os.environ.get(TOKEN, "")
        return Path(self._token_file).read_text(encoding="utf-8").strip()


def _path(model: str) -> str:
    return f"/v2/models/{quote(model, safe='')}"


def _why(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, LookupError, TypeError):
        return body[:200].decode("utf-8", "replace")


def _tcp(host: str, port: int) -> Opener:
    def opened(timeout: float) -> socket.socket:
        stream = socket.create_connection((host, port), timeout)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return stream

    return opened


def _unix(path: str) -> Opener:
    def opened(timeout: float) -> socket.socket:
        stream = socket.socket(socket.AF_UNIX)
        try:
            stream.settimeout(timeout)
            stream.connect(path)
        except BaseException:
            stream.close()
            raise
        return stream

    return opened


def _tls(host: str, port: int, context: ssl.SSLContext) -> Opener:
    plain = _tcp(host, port)

    def opened(timeout: float) -> socket.socket:
        stream = plain(timeout)
        try:
            return context.wrap_socket(stream, server_hostname=host)
        except BaseException:
            stream.close()
            raise

    return opened


def _context(ca: str, certificate: str, key: str) -> ssl.SSLContext:
    import ssl

    context = ssl.create_default_context(cafile=ca or None)
    if certificate:
        context.load_cert_chain(certificate, key or None)
    return context
