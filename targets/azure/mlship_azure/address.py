"""What an `azblob://` URL says, and with which credentials it is opened."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from mlship.errors import RegistryError, UsageError
from mlship.store.keys import check_key
from mlship.store.scheme import shown

_ACCOUNT = re.compile(r"[a-z0-9]{3,24}")
_CONTAINER = re.compile(r"(?=.{3,63}$)[a-z0-9]+(?:-[a-z0-9]+)*")


@dataclass(frozen=True)
class Address:
    """Where a store lies: all names of keys begin with `prefix` (empty, or ending with a slash)."""

    account: str
    container: str
    prefix: str = ""

    @property
    def url(self) -> str:
        return f"azblob://{self.account}/{self.container}/{self.prefix}".rstrip("/")


@dataclass(frozen=True)
class Access:
    """One way in. All None: whoever azure-identity finds."""

    endpoint: str
    key: str | None = None
    sas: str | None = None


def read_address(url: str) -> Address:
    """Raises UsageError for what is no URL of a container."""
    scheme, _, rest = url.partition("://")
    account, _, path = rest.partition("/")
    container, _, prefix = path.partition("/")
    prefix = prefix.rstrip("/")
    try:
        if scheme != "azblob" or not _ACCOUNT.fullmatch(account) or not _CONTAINER.fullmatch(container):
            raise ValueError
        if prefix:
            check_key(prefix)
    except (ValueError, RegistryError):
        raise UsageError(
            f"{shown(url)!r} is not the URL of a container",
            fix="Write azblob://account/container/prefix; a SAS token goes to AZURE_STORAGE_SAS_TOKEN",
        ) from None
    return Address(account, container, f"{prefix}/" if prefix else "")


def find_access(account: str) -> Access:
    """What the environment says of this account, in the words of the Azure CLI: connection string, SAS, key.
    What is of another account is passed over."""
    endpoint = os.environ.get("AZURE_STORAGE_SERVICE_ENDPOINT") or f"https://{account}.blob.core.windows.net"
    connection = _connection(os.environ.get("AZURE_STORAGE_CONNECTION_STRING", ""))
    if connection.get("accountname") == account:
        protocol = connection.get("defaultendpointsprotocol", "https")
        suffix = connection.get("endpointsuffix", "core.windows.net")
        endpoint = connection.get("blobendpoint") or f"{protocol}://{account}.blob.{suffix}"
        sas = connection.get("sharedaccesssignature")
        return Access(endpoint, None if sas else connection.get("accountkey"), sas)
    if os.environ.get("AZURE_STORAGE_ACCOUNT", account) == account:
        if sas := os.environ.get("AZURE_STORAGE_SAS_TOKEN"):
            return Access(endpoint, sas=sas.lstrip("?"))
        return Access(endpoint, key=os.environ.get("AZURE_STORAGE_KEY") or None)
    return Access(endpoint)


def _connection(text: str) -> dict[str, str]:
    """The fields of a connection string; the account's name taken from the endpoint if it is not said."""
    pairs = (part.partition("=") for part in text.split(";"))
    found = {name.strip().lower(): value.strip() for name, mark, value in pairs if mark}
    if "accountname" not in found and "blobendpoint" in found:
        found["accountname"] = (urlsplit(found["blobendpoint"]).hostname or "").partition(".")[0]
    return found
