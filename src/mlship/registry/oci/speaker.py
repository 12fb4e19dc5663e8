"""Whoever speaks to one server over HTTP: what is passing is tried again, and then told."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from mlship.errors import RegistryError
from mlship.registry.oci.patience import Patience
from mlship.registry.oci.transport import Server, Transport
from mlship.registry.oci.trouble import Passing

PASSING = (408, 425, 429, 500, 502, 503, 504)
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

    def repeat(self, work: Callable[[], T]) -> T:
        """`work` until it is done or there is no hope. A RegistryError that comes out is final."""
        try:
            return self.patience.repeat(work)
        except Passing as trouble:
            raise RegistryError(trouble.what, cause=trouble.cause, fix=trouble.fix or _AGAIN) from None
