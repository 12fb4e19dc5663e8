"""`ssh` is the hosted adapter with a machine behind SSH as its host."""

from __future__ import annotations

from mlship.errors import ConfigError
from mlship.host.ssh import Address
from mlship.target.hosted import HostedAdapter
from mlship.target.protocol import Place
from mlship.target.settings import read_settings
from mlship_ssh.reaching import reach
from mlship_ssh.settings import SshSettings


def adapter(place: Place) -> HostedAdapter:
    """Bind `ssh` to a place; nothing is connected before it is asked something. Raises ConfigError for
    settings that it does not have, or addresses that are none."""
    settings = read_settings(place, SshSettings)
    addresses = [Address.read(text) for text in settings.hosts]
    if len(addresses) != 1:
        raise ConfigError(f"target {place.name} has {len(addresses)} hosts", fix="Name one in `hosts`")
    host = reach(place, settings, addresses[0])
    return HostedAdapter(place, settings, host, base=settings.base, python=settings.python or "python3")
