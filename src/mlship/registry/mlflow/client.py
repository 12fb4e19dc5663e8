"""A request to an MLflow server until it is answered. Source: MLflow, "REST API"."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

from mlship.errors import RegistryError
from mlship.registry.mlflow.address import Address
from mlship.registry.mlflow.credentials import Credentials
from mlship.registry.oci.patience import Patience
from mlship.registry.oci.speaker import Speaker, in_one_line
from mlship.registry.oci.transport import Response
from mlship.registry.oci.trouble import Refused

_API = "/api/2.0/mlflow/"
_MAX_ERROR = 64 << 10
_MAX_ANSWER = 64 << 20
ABSENT, EXISTS = "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS"

Body = Callable[[], Iterable[bytes] | bytes]


class Client(Speaker):
    """Speaks to one MLflow server."""

    def __init__(self, address: Address, patience: Patience | None = None) -> None:
        super().__init__(address, patience)
        self.address, self.credentials = address, Credentials(address)

    def get(self, doing: str, method: str, **query: Any) -> dict[str, Any]:
        """The answer of a method of the interface that reads; Refused with ABSENT if there is nothing."""
        asked = {name: value for name, value in query.items() if value not in (None, "")}
        path = f"{_API}{method}" + (f"?{urlencode(asked)}" if asked else "")
        return self.repeat(lambda: self.json(doing, "GET", path, None))

    def tell(self, doing: str, method: str, verb: str = "POST", **content: Any) -> dict[str, Any]:
        """The answer of a method that changes something. It may be sent more than once."""
        return self.repeat(lambda: self.tell_once(doing, method, verb, **content))

    def tell_once(self, doing: str, method: str, verb: str = "POST", **content: Any) -> dict[str, Any]:
        """As `tell`, sent once; Passing if it may or may not have been heard."""
        return self.json(doing, verb, _API + method, json.dumps(content).encode())

    def once(
        self,
        doing: str,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        good: tuple[int, ...] = (200,),
        longer: float = 0.0,
    ) -> Response:
        """One exchange; Passing, Refused or NotLetIn unless its answer has one of the numbers `good`."""
        told = {**(headers or {}), **self.credentials.headers()}
        response = self.transport.send(
            method, self.address.root + path, told, body() if body else None, longer
        )
        if response.status == 401:
            self.transport.discard(response)
            raise self.credentials.refused()
        if response.status not in good:
            raise self._no(doing, response)
        return response

    def json(self, doing: str, verb: str, path: str, body: bytes | None) -> dict[str, Any]:
        """One exchange in JSON, its answer an object."""
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body))} if body else {}
        response = self.once(doing, verb, path, headers=headers, body=(lambda: body) if body else None)
        data = self.transport.whole(response, _MAX_ANSWER)
        try:
            value = json.loads(data or b"{}")
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise RegistryError(
                f"cannot {doing} in {self.url}",
                cause="it does not answer as an MLflow server does",
                fix="Look whether the URL is that of the tracking server",
            )
        return value

    def _no(self, doing: str, response: Response) -> RegistryError:
        status = response.status
        code, said = _error(self.transport.whole(response, _MAX_ERROR))
        what, shown = f"cannot {doing} in {self.url}", self.credentials.redacted(said)
        cause = f"it answers {status} {code}".rstrip() + (f": {shown}" if shown else "")
        if "serve-artifacts" in said:
            fix = "Have it started with --artifacts-destination, so that artifacts go through it"
            return Refused(what, cause="it keeps no artifacts itself", fix=fix, status=status)
        fix = "Ask for the right to do this" if status == 403 else ""
        if status == 404 and not code:
            fix = "Look whether the URL is that of an MLflow server, of version 3 or later"
        return self.refusal(response, what, cause, fix, frozenset({code} - {""}))


def _error(data: bytes) -> tuple[str, str]:
    """The code of an error answer and its message, in one printable line."""
    text, code = data.decode("utf-8", "replace"), ""
    try:
        value = json.loads(data)
        text, code = str(value["message"]), str(value["error_code"])[:60]
    except (ValueError, KeyError, TypeError, RecursionError):
        if text.lstrip().startswith("<"):
            text = ""
    return code, in_one_line(text.partition("\n")[0].partition(" Error: (")[0])
