"""The external listener's rules: who may come in (tokens, client certificates), which routes are served, TLS.

Tokens and certificates are read again when their files change; what cannot be read then leaves the old ones
in force, and says so in the log.
"""

from __future__ import annotations

import os
import ssl
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from mlship_runtime.errors import RuntimeFault, SiteError
from mlship_runtime.serving.requests import Refusal
from mlship_runtime.trust.tokens import Token, name_of, read_tokens

_HEALTH = (b"/healthz", b"/readyz", b"/ping", b"/v2/health/live", b"/v2/health/ready")
_OPEN = (b"/v2", b"/invocations", b"/openapi.json")
_MODELS = b"/v2/models/"
_CHALLENGE = b'WWW-Authenticate: Bearer realm="mlship"\r\n'


class Door:
    """Built from the settings of an external listener: `tokens`, `certificate`, `key`, `clientCa` (files),
    `health`, `metrics` (whether those routes are served, health without a token). Raises SiteError for files
    that cannot be used, and if nothing says who may come in."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._tokens_file = _path(settings, "tokens")
        self._pair = (_path(settings, "certificate"), _path(settings, "key"))
        self._client_ca = _path(settings, "clientCa")
        self._health, self._metrics = bool(settings.get("health")), bool(settings.get("metrics"))
        if self._tokens_file is None and self._client_ca is None:
            raise SiteError(
                "nothing says who may use the external listener", fix="Set `tokens` or `client_ca`"
            )
        if self._client_ca is not None and self._pair[0] is None:
            raise SiteError("client certificates need TLS", fix="Set `certificate` and `key`")
        self._tokens: tuple[Token, ...] = ()
        self.context: ssl.SSLContext | None = None
        self._read = self._stamps()
        self._load()

    def refresh(self) -> None:
        """Read again what has changed since it was read."""
        stamps = self._stamps()
        if stamps == self._read:
            return
        self._read = stamps
        try:
            self._load()
            sys.stderr.write("tokens and certificates were read again\n")
        except RuntimeFault as fault:
            sys.stderr.write(f"tokens and certificates stay as they were: {fault}\n")

    def admit(self, target: bytes, headers: Mapping[bytes, bytes]) -> Refusal | None:
        """Whether a request is refused, from its head alone."""
        path = unquote_to_bytes(target.partition(b"?")[0])
        if path in _HEALTH:
            return None if self._health else _unknown()
        known = path in _OPEN or path.startswith(_MODELS) or (self._metrics and path == b"/metrics")
        if self._tokens_file is not None and not self._is_known(headers):
            return Refusal(401, "a valid bearer token is needed", _CHALLENGE)
        return None if known else _unknown()

    def _is_known(self, headers: Mapping[bytes, bytes]) -> bool:
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        return scheme.lower() == b"bearer" and name_of(token.strip(), self._tokens) != ""

    def _load(self) -> None:
        """All of it or nothing. Raises SiteError."""
        tokens = read_tokens(self._tokens_file) if self._tokens_file is not None else ()
        if self._tokens_file is not None and not self._tokens_file.exists():
            raise SiteError(f"there is no file {self._tokens_file}", fix="Make it with mlship token new")
        if self._pair[0] is not None:
            self.context = self._tls()
        self._tokens = tokens

    def _tls(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION
        certificate, key = self._pair
        try:
            context.load_cert_chain(str(certificate), str(key) if key else None)
            if self._client_ca is not None:
                context.load_verify_locations(str(self._client_ca))
                context.verify_mode = ssl.CERT_REQUIRED
        except OSError as error:  # SSLError is one
            what = "the certificate, its key or the client CA cannot be used"
            raise SiteError(what, cause=str(error), fix="Look at the files of `external`") from error
        return context

    def _stamps(self) -> list[tuple[int, int, int] | None]:
        files = [path for path in (self._tokens_file, *self._pair, self._client_ca) if path is not None]
        return [_stamp(path) for path in files]


def _path(settings: Mapping[str, Any], key: str) -> Path | None:
    value = settings.get(key)
    return Path(str(value)) if value else None


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _unknown() -> Refusal:
    return Refusal(404, "nothing is served at this path")
