"""HTTP as z/OSMF wants it: one request, its answer whole, its errors in our words."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mlship.errors import ConfigError, PolicyError, TargetError
from mlship.store.asking import Again, Patience, Trial

_CHUNK = 1 << 18
_LONGEST_ERROR = 1 << 16
_AGAIN = (429, 502, 503, 504)


class Broken(TargetError):
    """No whole answer came. `sent`: the request may have been carried out."""

    def __init__(self, what: str, *, cause: str, sent: bool) -> None:
        super().__init__(what, cause=cause, fix="Check the address, the network and the host")
        self.sent = sent


class Answered(TargetError):
    """z/OSMF said no: `status`, and its own category, rc and reason (0 where it names none)."""

    def __init__(
        self, what: str, status: int, document: Mapping[str, Any], cause: str, fix: str = ""
    ) -> None:
        super().__init__(what, cause=cause, fix=fix)
        self.status = status
        self.category, self.rc, self.reason = (_number(document.get(k)) for k in ("category", "rc", "reason"))


@dataclass(frozen=True)
class Reply:
    """`headers` have lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """Raises TargetError for a body that is no JSON."""
        try:
            return json.loads(self.body)
        except ValueError as wrong:
            raise TargetError("z/OSMF answered with something that is no JSON", cause=str(wrong)) from wrong


@dataclass(frozen=True)
class Access:
    """Where z/OSMF is, and as whom. TLS is always verified, by the system's authorities or those in `ca`;
    plain HTTP is for loopback addresses."""

    url: str
    user: str
    password: str
    ca: Path | None = None
    timeout: float = 30.0

    def connect(self) -> http.client.HTTPConnection:
        """Not yet connected. Raises ConfigError for a URL or authorities that cannot be used."""
        parts = urlsplit(self.url)
        if parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1", "localhost"):
            return http.client.HTTPConnection(parts.hostname, parts.port, timeout=self.timeout)
        if parts.scheme != "https" or not parts.hostname or parts.username or parts.query:
            raise ConfigError(
                f"{parts.scheme}://{parts.hostname} is no address of z/OSMF",
                fix="Write https://HOST[:PORT]; http is for this machine only, the user a setting of its own",
            )
        try:
            context = ssl.create_default_context(cafile=str(self.ca) if self.ca else None)
        except (OSError, ssl.SSLError) as wrong:
            raise ConfigError(f"{self.ca} has no certificates", cause=str(wrong)) from wrong
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return http.client.HTTPSConnection(parts.hostname, parts.port, timeout=self.timeout, context=context)

    def headers(self) -> dict[str, str]:
        token = base64.b64encode(f"{self.user}:{self.password}".encode()).decode("ascii")
        return {"Authorization": f"Basic {token}", "X-CSRF-ZOSMF-HEADER": "mlship"}


class Rest:
    """Requests to one z/OSMF. What may be repeated without harm is, as `patience` says."""

    def __init__(self, access: Access, patience: Patience | None = None) -> None:
        self.access, self._patience = access, patience or Patience()

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | Path = b"",
        headers: Mapping[str, str] | None = None,
        *,
        repeatable: bool = True,
        into: Path | None = None,
    ) -> Reply:
        """The answer; with `into` its body is in that file. Raises Answered, Broken, PolicyError (401, 403),
        ConfigError (a certificate that is not trusted)."""
        trial = Trial(self._patience, _judge)
        while True:
            try:
                return self._once(method, path, body, headers or {}, into)
            except (Broken, Answered) as error:
                if not repeatable:
                    raise
                trial.failed(error)

    def document(self, method: str, path: str, value: Any, *, repeatable: bool = True) -> Reply:
        """`ask` with a JSON body."""
        kind = {"Content-Type": "application/json"}
        return self.ask(method, path, json.dumps(value).encode(), kind, repeatable=repeatable)

    def _once(
        self, method: str, path: str, body: bytes | Path, headers: Mapping[str, str], into: Path | None
    ) -> Reply:
        line, what, sent = self.access.connect(), f"z/OSMF does not answer {method} {path}", False
        try:
            line.connect()
            sent = True
            reply = _exchange(line, method, path, body, {**self.access.headers(), **headers}, into)
        except ssl.SSLCertVerificationError as wrong:
            raise ConfigError(
                f"the certificate of {self.access.url} is not trusted",
                cause=wrong.verify_message,
                fix="Name the authority that signed it in `ca`",
            ) from wrong
        except (OSError, http.client.HTTPException) as error:
            cause = str(error) or type(error).__name__
            raise Broken(what, cause=cause, sent=sent) from error
        finally:
            line.close()
        if reply.status in (401, 403):
            raise _refused(reply, self.access)
        if reply.status >= 400:
            raise _answered(reply, method, path)
        return reply


def _exchange(
    line: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | Path,
    headers: Mapping[str, str],
    into: Path | None,
) -> Reply:
    size = body.stat().st_size if isinstance(body, Path) else len(body)
    known = {**headers, "Content-Length": str(size)} if size or method in ("PUT", "POST") else dict(headers)
    line.request(method, path, _chunks(body) if size else None, known)
    answer = line.getresponse()
    found = {name.lower(): value for name, value in answer.getheaders()}
    if into is None or answer.status >= 400:
        return Reply(answer.status, found, answer.read())
    with into.open("wb") as file:
        while chunk := answer.read(_CHUNK):
            file.write(chunk)
    if answer.length:
        raise http.client.IncompleteRead(b"", answer.length)
    return Reply(answer.status, found, b"")


def _chunks(body: bytes | Path) -> Iterator[bytes]:
    if isinstance(body, bytes):
        yield body
        return
    with body.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _judge(error: Exception) -> Again | None:
    if isinstance(error, Broken):
        return Again()
    return Again() if isinstance(error, Answered) and error.status in _AGAIN else None


def _refused(reply: Reply, access: Access) -> PolicyError:
    said = _said(reply)
    if reply.status == 401:
        fix = "Check the user and the password; an expired one has to be changed on the host"
        return PolicyError(f"z/OSMF does not let {access.user} in", cause=said or "401", fix=fix)
    return PolicyError(
        f"z/OSMF refuses this to {access.user}", cause=said or "403", fix="Ask for the right to do it"
    )


def _answered(reply: Reply, method: str, path: str) -> Answered:
    try:
        document = json.loads(reply.body[:_LONGEST_ERROR])
    except ValueError:
        document = {}
    known = document if isinstance(document, dict) else {}
    return Answered(f"z/OSMF refuses {method} {path}", reply.status, known, _said(reply) or str(reply.status))


def _said(reply: Reply) -> str:
    """The message of an error document with its details."""
    try:
        document = json.loads(reply.body[:_LONGEST_ERROR])
        details = document.get("details") or []
        return " ".join([str(document.get("message", "")), *map(str, details)]).strip()
    except (ValueError, AttributeError):
        return ""


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0
