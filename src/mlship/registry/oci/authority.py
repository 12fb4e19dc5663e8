"""Gets what opens the door of a registry: basic authentication, or a token from the place that it names.

Source: distribution, docs/spec/auth/token.md and oauth.md.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from threading import RLock
from typing import Any
from urllib.parse import urlencode

from mlship.errors import RegistryError
from mlship.registry.oci.address import Address
from mlship.registry.oci.challenge import Challenge, parse_challenges
from mlship.registry.oci.docker_config import Credentials, credentials_for
from mlship.registry.oci.transport import Transport
from mlship.registry.oci.trouble import NotLetIn, Passing, Refused

_MAX_TOKEN_ANSWER = 1 << 20
_TOKEN = re.compile(r"[!-~]{1,65536}")  # what can stand in a header
_SHORTEST = 60  # seconds that a token holds if nothing is said
_SPENT = 0.8  # of its time, after which it is not used for something new

Scopes = tuple[str, ...]


@dataclass(frozen=True)
class _Token:
    header: str
    until: float


class Authority:
    """Headers for one registry. `given` credentials go before those that are kept. For several threads."""

    def __init__(self, address: Address, transport: Transport, given: Credentials | None = None) -> None:
        self.address, self.transport = address, transport
        self._credentials, self._looked = given, given is not None
        self._challenge: Challenge | None = None
        self._tokens: dict[Scopes, _Token] = {}
        self._lock = RLock()

    def header(self, scopes: Scopes) -> str | None:
        """What to send now: None before the registry has said what it wants."""
        with self._lock:
            if self._challenge is None:
                return None
            if self._challenge.scheme == "basic":
                return self._basic()
            token = self._tokens.get(scopes)
            if token is None or token.until < time.monotonic():
                token = self._tokens[scopes] = self._fetch(self._challenge, scopes)
            return token.header

    def renew(self, headers: Mapping[str, str], scopes: Scopes, used: str | None) -> str | None:
        """What to send after a 401 whose request had `used`; None if there is nothing better.

        Raises RegistryError if the registry asks for what cannot be given.
        """
        with self._lock:
            now = self._tokens.get(scopes)
            if now is not None and now.header != used:
                return now.header  # another thread was here
            challenges = parse_challenges(headers.get("WWW-Authenticate", ""))
            wanted = {x.scheme: x for x in reversed(challenges)}
            challenge = wanted.get("bearer") or wanted.get("basic")
            if challenge is None:
                raise NotLetIn(
                    f"{self.address.url} asks for credentials in a way that is not known here",
                    cause=", ".join(sorted(wanted)) or "it does not say which",
                )
            self._tokens.pop(scopes, None)
            self._challenge = challenge
            header = self.header(scopes)
            return None if header == used else header

    def refused(self) -> NotLetIn:
        """The error for a registry that does not let one in."""
        login = f"Run: mlship login {self._host_words()}"
        if self._known() is None:
            return NotLetIn(f"{self.address.url} asks for credentials, and there are none", fix=login)
        return NotLetIn(
            f"{self.address.url} does not accept the credentials that are kept for it",
            cause="they are wrong, have expired, or are for something else",
            fix=login,
        )

    def redacted(self, text: str) -> str:
        """`text`, which came from outside, without anything secret."""
        known = self._credentials
        secrets = [token.header.partition(" ")[2] for token in self._tokens.values()]
        if known:
            secrets += [known.password, known.identity, known.bearer, self._basic_value(known)]
        for secret in secrets:
            if secret:
                text = text.replace(secret, "***")
        return text

    def _known(self) -> Credentials | None:
        if not self._looked:
            self._credentials, self._looked = credentials_for(self.address.host), True
        return self._credentials

    def _basic(self) -> str | None:
        known = self._known()
        return f"Basic {self._basic_value(known)}" if known and known.password else None

    @staticmethod
    def _basic_value(known: Credentials) -> str:
        return base64.b64encode(f"{known.username}:{known.password}".encode()).decode()

    def _fetch(self, challenge: Challenge, scopes: Scopes) -> _Token:
        known = self._known()
        if known and known.bearer:
            return _Token(f"Bearer {known.bearer}", time.monotonic() + _SHORTEST)
        realm = challenge.parameters.get("realm", "")
        if not realm.startswith(("https://", "http://")):
            raise RegistryError(f"{self.address.url} does not say where its tokens come from")
        realm = self.transport.located(realm, realm)
        if challenge.parameters.get("scope") and not scopes:
            scopes = (challenge.parameters["scope"],)
        answer = self._asked(realm, challenge.parameters.get("service", ""), scopes, known)
        text = answer.get("token") or answer.get("access_token")
        if not isinstance(text, str) or not _TOKEN.fullmatch(text):
            raise RegistryError(f"the token for {self.address.url} cannot be used", cause="it is none")
        said = answer.get("expires_in")
        holds = said if isinstance(said, (int, float)) and said > 0 else _SHORTEST
        return _Token(f"Bearer {text}", time.monotonic() + _SPENT * holds)

    def _asked(self, realm: str, service: str, scopes: Scopes, known: Credentials | None) -> dict[str, Any]:
        headers: dict[str, str] = {}
        said = [("service", service)] if service else []
        if known and known.identity:
            said += [("scope", " ".join(scopes)), ("client_id", "mlship")]
            said += [("grant_type", "refresh_token"), ("refresh_token", known.identity)]
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            response = self.transport.send("POST", realm, headers, urlencode(said).encode())
        else:
            said += [("scope", scope) for scope in scopes]
            if known:
                headers["Authorization"] = f"Basic {self._basic_value(known)}"
            mark = "&" if "?" in realm else "?"
            response = self.transport.send(
                "GET", f"{realm}{mark}{urlencode(said)}" if said else realm, headers
            )
        data = self.transport.whole(response, _MAX_TOKEN_ANSWER)
        if response.status in (400, 401, 403):
            raise self.refused()
        if response.status in (408, 429) or response.status >= 500:
            raise Passing(f"the token server of {self.address.url} answers {response.status}")
        if response.status != 200:
            raise Refused(
                f"the token server of {self.address.url} answers {response.status}", status=response.status
            )
        try:
            answer = json.loads(data)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise RegistryError(f"the token server of {self.address.url} answers with what is no JSON object")
        return answer

    def _host_words(self) -> str:
        """The host as `mlship login` takes it."""
        usual = self.address.scheme == "oci"
        return self.address.host if usual else f"{self.address.scheme}://{self.address.host}"
