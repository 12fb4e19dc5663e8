"""By which way a service is asked: at an endpoint that is reached from here, or by its host's connection."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from mlship.errors import TargetError, UsageError
from mlship.host.local import LocalHost
from mlship.target.deployment import Deployment, Endpoint
from mlship.target.protocol import Adapter
from mlship_runtime.client import Client, Line, Request, Response, Unanswered
from mlship_runtime.client.client import TOKEN

Via = Literal["endpoint", "tunnel"]
_KNOCK = 3.0  # seconds for an endpoint to take a connection


@dataclass(frozen=True)
class Caller:
    """What this side has to show. Files: the bearer token (else MLSHIP_TOKEN), certificates to trust instead
    of the system's, a certificate and key of its own."""

    token_file: str = ""
    ca: str = ""
    certificate: str = ""
    key: str = ""

    def lacks(self, endpoint: Endpoint) -> list[str]:
        """What the endpoint asks for and is not here."""
        here = {"token": self.token_file or os.environ.get(TOKEN), "certificate": self.certificate}
        return [what for what in endpoint.asks if not here.get(what)]


def ask(adapter: Adapter, asked: Request, caller: Caller, via: Via | None) -> tuple[Response, Via]:
    """The live release's answer and the way that was taken: `via`, or else the first endpoint that can be
    reached from here and asks for nothing that `caller` lacks, or else the tunnel. Raises TargetError and
    UsageError."""
    if "tunnel" not in adapter.offers:
        if via == "tunnel":
            raise TargetError(f"{adapter.place.name} has no connection to tunnel through")
        return adapter.invoke(asked), "endpoint"
    seen = adapter.observe()
    if seen.live is None:
        raise TargetError(f"nothing is live on {adapter.place.name}", fix="Deploy something: mlship deploy")
    if via != "tunnel":
        endpoint = _reached(seen, caller, must=via == "endpoint")
        if endpoint is not None:
            return _at(endpoint, asked, caller), "endpoint"
    with Line(lambda timeout: adapter.carry(seen, timeout)) as line:
        try:
            return line.exchange(asked), "tunnel"
        except Unanswered as fault:
            what = f"no whole answer from {adapter.place.name}"
            raise TargetError(what, cause=fault.cause, fix="See mlship logs") from fault


def _reached(seen: Deployment, caller: Caller, *, must: bool) -> Endpoint | None:
    """The endpoint to ask; None if there is none, or an error if there `must` be one."""
    near = [x for x in seen.endpoints if x.only_on in ("", LocalHost.name)]
    if caller != Caller():  # who shows something means the one that asks for it
        near.sort(key=lambda endpoint: not endpoint.asks)
    for endpoint in near:
        if not caller.lacks(endpoint) and _takes_connections(endpoint.url):
            return endpoint
    if not must:
        return None
    lacking = [(x, caller.lacks(x)) for x in near if caller.lacks(x)]
    if lacking:
        endpoint, what = lacking[0]
        fixes = {
            "token": "Give it with --token-file or MLSHIP_TOKEN",
            "certificate": "Give it with --cert and --cert-key",
        }
        raise UsageError(f"{endpoint.url} asks for a {what[0]}", fix=fixes[what[0]])
    known = ", ".join(x.url + (f" (only on {x.only_on})" if x.only_on else "") for x in seen.endpoints)
    raise TargetError("no endpoint can be reached from here", cause=known, fix="Use --via tunnel")


def _takes_connections(url: str) -> bool:
    place = urlsplit(url)
    with suppress(OSError):
        socket.create_connection((place.hostname or "", place.port or 443), _KNOCK).close()
        return True
    return False


def _at(endpoint: Endpoint, asked: Request, caller: Caller) -> Response:
    try:
        with Client(
            endpoint.url,
            token_file=caller.token_file,
            ca=caller.ca,
            certificate=caller.certificate,
            key=caller.key,
        ) as client:
            return client.exchange(asked)
    except Unanswered as fault:
        told = "certificate verify failed" in fault.cause
        fix = "Name who signed its certificate: --ca FILE" if told else "See mlship logs"
        raise TargetError(f"no whole answer from {endpoint.url}", cause=fault.cause, fix=fix) from fault
    except OSError as error:  # one of the files
        what = f"{error.filename or 'a certificate'} cannot be used"
        raise UsageError(what, cause=error.strerror or str(error)) from error
