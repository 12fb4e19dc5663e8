"""A folder of a machine as a Store: `ssh://[USER@]HOST[:PORT]/srv/models`; `ssh://HOST/~/models` in the home.

Options say how one gets in where ssh's own ways do not do: `?client=paramiko&key=FILE&known_hosts=FILE`, and
`&python=FILE` which interpreter there answers (python3).
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import get_args
from urllib.parse import parse_qsl, urlencode

from mlship.errors import ConfigError, UsageError
from mlship.host.ssh.address import Access, Address
from mlship.host.ssh.clients import Client, wire_by
from mlship.host.ssh.known_hosts import known
from mlship.host.ssh.machine import SshHost
from mlship.host.store import HostStore
from mlship.store.scheme import shown

_OPTIONS = ("client", "key", "known_hosts", "python")


@dataclass(frozen=True)
class SshUrl:
    """`folder` is absolute, or begins with `~/`; `known_hosts` is a file whose keys go before the user's."""

    address: Address
    folder: str
    client: Client = "auto"
    key: str = ""
    known_hosts: str = ""
    python: str = ""

    @classmethod
    def read(cls, url: str) -> SshUrl:
        """Raises UsageError."""
        scheme, _, rest = url.partition("://")
        where, _, query = rest.partition("?")
        machine, slash, path = where.partition("/")
        folder = path.rstrip("/") if path.startswith("~/") else slash + path.rstrip("/")
        options = dict(parse_qsl(query, keep_blank_values=True))
        try:
            address = Address.read(machine)
            parts = folder.removeprefix("~").split("/")[1:]
            if scheme != "ssh" or "\0" in folder or not all(parts) or not parts or {".", ".."} & set(parts):
                raise ValueError
            if folder.startswith("/~"):  # of another user, which is not what it says
                raise ValueError
            if not set(options) <= set(_OPTIONS) or options.get("client", "auto") not in get_args(Client):
                raise ValueError
        except (ConfigError, ValueError):
            raise UsageError(
                f"{shown(url)!r} is not the URL of a folder on a machine",
                fix="Write ssh://USER@HOST:PORT/its/path or ssh://HOST/~/path, and ?client=…&key=…&"
                "known_hosts=…&python=… where they are needed",
            ) from None
        return cls(address, folder, **options)  # type: ignore[arg-type]  # its keys and client were looked at

    def __str__(self) -> str:
        given = [(name, value) for name in _OPTIONS if (value := getattr(self, name)) not in ("", "auto")]
        path = self.folder if self.folder.startswith("/") else f"/{self.folder}"
        return f"ssh://{self.address}{path}" + (f"?{urlencode(given, safe='/~:')}" if given else "")


def open_store(url: str) -> HostStore:
    """The Store at an `ssh://` URL. Nothing is connected before it is asked something. Raises UsageError, or
    ConfigError for a key or a file of host keys that cannot be read."""
    place = SshUrl.read(url)
    key = Path(place.key).expanduser() if place.key else None
    if key is not None and not key.is_file():
        raise ConfigError(f"there is no key {key}", fix="Name a private key's file: ?key=FILE")
    pinned = Path(place.known_hosts).expanduser() if place.known_hosts else None
    access = Access(place.address, *known(place.address, pinned), key=key, target="")
    python = place.python or "python3"
    host = SshHost(wire_by(place.client, access), access, python)
    store = HostStore(host, place.folder, str(place), python)
    weakref.finalize(store, host.close)
    return store
