"""A request to a registry until it is answered: with credentials, repeated where that helps, errors told."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping

from mlship.errors import RegistryError
from mlship.registry.oci.address import Address
from mlship.registry.oci.authority import Authority, Scopes
from mlship.registry.oci.docker_config import Credentials
from mlship.registry.oci.patience import Patience
from mlship.registry.oci.speaker import Speaker, in_one_line
from mlship.registry.oci.transport import Response, origin

_MAX_ERROR = 64 << 10
_CODE = re.compile(r"[A-Z][A-Z0-9_]{1,60}")

Body = Callable[[], Iterable[bytes] | bytes]


class Client(Speaker):
    """Speaks for one registry."""

    def __init__(
        self, address: Address, patience: Patience | None = None, given: Credentials | None = None
    ) -> None:
        super().__init__(address, patience)
        self.address = address
        self.authority = Authority(address, self.transport, given)

    def once(
        self,
        doing: str,
        method: str,
        path: str,
        *,
        scopes: Scopes,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        good: tuple[int, ...] = (200,),
        longer: float = 0.0,
    ) -> Response:
        """One exchange, two if credentials were asked for. `path` is one of the interface, or a whole URL
        that the registry gave; `body` is called for each exchange. `doing` is for errors: "read the tags of
        churn".

        The answer has one of the numbers `good`; Passing, Refused or RegistryError is raised otherwise.
        """
        url = path if "://" in path else self.address.root + path
        ours = origin(url) == origin(self.address.root)
        used = self.authority.header(scopes) if ours else None
        response = self._sent(method, url, headers, used, body, longer)
        if response.status == 401 and ours:
            self.transport.discard(response)
            used = self.authority.renew(response.headers, scopes, used)
            if used is None:
                raise self.authority.refused()
            response = self._sent(method, url, headers, used, body, longer)
            if response.status == 401:
                self.transport.discard(response)
                raise self.authority.refused()
        if response.status not in good:
            raise self._no(doing, response)
        return response

    def check_credentials(self) -> None:
        """Raises RegistryError unless the registry takes the credentials, or asks for none."""
        self.repeat(lambda: self.transport.discard(self.once("log in", "GET", "/v2/", scopes=())))

    def _sent(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        header: str | None,
        body: Body | None,
        longer: float,
    ) -> Response:
        told = {**(headers or {}), **({"Authorization": header} if header else {})}
        return self.transport.send(method, url, told, body() if body else None, longer)

    def _no(self, doing: str, response: Response) -> RegistryError:
        status = response.status
        codes, said = _errors(self.transport.whole(response, _MAX_ERROR))
        what = f"cannot {doing} in {self.address.url}"
        shown = self.authority.redacted(said)
        cause = f"it answers {status} {' '.join(codes[:1])}".rstrip() + (f": {shown}" if shown else "")
        fix = ""
        if status == 403 or "DENIED" in codes:
            fix = "Ask for the right to do this, or log in as somebody who has it (mlship login)"
        if "NAME_UNKNOWN" in codes:
            fix = (
                "If it is the first of its name: some registries want the repository to be made there before"
            )
        return self.refusal(response, what, cause, fix, frozenset(codes))


def _errors(data: bytes) -> tuple[list[str], str]:
    """The codes of an error answer, and its first message in one printable line."""
    try:
        found = json.loads(data)["errors"]
        codes = [x["code"] for x in found if isinstance(x.get("code"), str) and _CODE.fullmatch(x["code"])]
        said = next((x["message"] for x in found if isinstance(x.get("message"), str)), "")
        detail = next((json.dumps(x["detail"]) for x in found if x.get("detail")), "")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return [], ""
    return codes, in_one_line(f"{said} {detail}")
