"""From a target's settings to a machine: which client, which key, which host keys count."""

from __future__ import annotations

from pathlib import Path

from mlship.errors import ConfigError
from mlship.host.ssh import Address, SshHost
from mlship.host.ssh.address import Access
from mlship.host.ssh.clients import wire_by
from mlship.host.ssh.known_hosts import known
from mlship.target.protocol import Place
from mlship_ssh.settings import SshSettings


def reach(place: Place, settings: SshSettings, address: Address) -> SshHost:
    """The machine at `address`. Raises ConfigError for a key that is not there, or a file of host keys that
    cannot be read."""
    key = settings.key_file()
    if key is not None and not key.is_file():
        raise ConfigError(
            f"target {place.name}: there is no key {key}", fix="Name a private key's file in `key`"
        )
    access = Access(
        address,
        *known(address, pinned_in(place, settings)),
        key=key,
        connect_timeout=settings.connect_timeout,
        target=place.name,
    )
    return SshHost(wire_by(settings.client, access), access, settings.python or "python3")


def pinned_in(place: Place, settings: SshSettings) -> Path:
    """The file of the host keys that this project pins."""
    return (place.project or Path.cwd()) / Path(settings.known_hosts).expanduser()
