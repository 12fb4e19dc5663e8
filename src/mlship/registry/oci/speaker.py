"""Whoever speaks to one server over HTTP: what is passing is tried again, and then told."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from mlship.errors import RegistryError
from mlship.registry.oci.patience import Patience
from mlship.registry.oci.transport import Response, Server, Transport
from mlship.registry.oci.trouble import Passing, Refused
from mlship.store.asking import seconds_of

PASSING = (408, 425, 429, 500, 502, 503, 504)
_SHOWN = 200
_AGAIN = "Run it again; what arrived whole is kept"

T = TypeVar("T")


class Speaker:
    """Speaks to the server at `address`. Safe for several threads."""

    def __init__(self, address: Server, patience: Patience | None = None) -> None:
        self.patience = patience or Patience()
        self.transport = Transport(address, self.patience)

    @property
    def url(self) -> str:
        return self.transport.address.url

    def refusal(
        self, response: Response, what: str, cause: str, fix: str = "", codes: frozenset[str] = frozenset()
    ) -> RegistryError:
        """The error of an answer that is not a good one: Passing where it may be better later, else
        Refused."""
        if response.status in PASSING:
            pause = seconds_of(response.headers.get("Retry-After"))
            return Passing(what, cause=cause, fix="Try again later", pause=pause)
        return Refused(what, cause=cause, fix=fix, status=response.status, codes=codes)

    def repeat(self, work: Callable[[], T]) -> T:
        """`work` until it is done or there is no hope. A RegistryError that comes out is final."""
        try:
            return self.patience.repeat(work)
        except Passing as trouble:
            raise RegistryError(trouble.what, cause=trouble.cause, fix=trouble.fix or _AGAIN) from None


def in_one_line(text: str) -> str:
    """What a server said, as far as it may be shown."""
    line = " ".join(text.split())
    return "".join(x if x.isprintable() else "?" for x in line)[:_SHOWN]
