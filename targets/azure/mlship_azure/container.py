"""One container, asked through azure-storage-blob: with our own patience, and errors that say what to do."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from mlship.errors import RegistryError
from mlship.store.asking import Patience, asked
from mlship_azure.address import Address, find_access

T = TypeVar("T")


class Container:
    """Asks for nothing until the first call. Not tied to a thread."""

    def __init__(self, address: Address, patience: Patience) -> None:
        self.address, self._patience = address, patience
        self._client: Any = None
        self._making = threading.Lock()

    def ask(self, call: Callable[[Any], T]) -> T:
        """What `call(client)` returns. Raises Declined for a plain no, RegistryError for trouble."""
        client = self._ready()
        from azure.core.exceptions import HttpResponseError

        from mlship_azure import trouble

        def once(unsure: bool) -> T:
            try:
                return call(client)
            except HttpResponseError as error:
                no = trouble.declined(error, unsure)
                raise no or error from None

        try:
            return asked(self._patience, trouble.judge, once)
        except trouble.ERRORS as error:
            raise trouble.explained(error, self.address) from None

    def _ready(self) -> Any:
        with self._making:
            if self._client is None:
                self._client = self._made()
            return self._client

    def _made(self) -> Any:
        logging.getLogger("azure").setLevel(logging.ERROR)  # what it warns of is in our one line
        try:
            from azure.storage.blob import ContainerClient

            access = find_access(self.address.account)
            credential: Any = access.sas
            if access.key:
                credential = {"account_name": self.address.account, "account_key": access.key}
            if credential is None:
                from azure.identity import DefaultAzureCredential

                credential = DefaultAzureCredential()
        except ModuleNotFoundError as missing:
            raise RegistryError(
                f"azblob:// needs a package that is not installed ({missing.name})",
                fix="pip install 'mlship-toolchain[azure]'",
            ) from missing
        return ContainerClient(
            access.endpoint,
            self.address.container,
            credential=credential,
            retry_total=0,
            connection_timeout=self._patience.connect,
            read_timeout=self._patience.stall,
        )
