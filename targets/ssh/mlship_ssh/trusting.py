"""The host keys of a target's machines: what they show, and what the project pins."""

from __future__ import annotations

from mlship.host.ssh import Address
from mlship.host.ssh.known_hosts import fingerprint, keys_in, kind_of, known_keys, pin
from mlship.target.machines import HostKey, Machine, state_of
from mlship.target.protocol import Place
from mlship_ssh.reaching import pinned_in, reach
from mlship_ssh.settings import SshSettings


def machines(place: Place, settings: SshSettings) -> tuple[Machine, ...]:
    """Each machine of the target with its keys. Raises TargetError for one that cannot be reached."""
    return tuple(_machine(place, settings, Address.read(text)) for text in settings.hosts)


def pin_machine(place: Place, settings: SshSettings, machine: Machine, keys: tuple[HostKey, ...]) -> str:
    """Write `keys` into the project's file; its path. Raises ConfigError."""
    file = pinned_in(place, settings)
    pin(file, Address.read(machine.address), [key.key for key in keys])
    return str(file)


def _machine(place: Place, settings: SshSettings, address: Address) -> Machine:
    file = pinned_in(place, settings)
    host = reach(place, settings, address)
    shown = tuple(map(_host_key, host.host_keys()))
    known = tuple(map(_host_key, known_keys(address, file)))
    state = state_of(shown, known, pinned=bool(keys_in(file, address)))
    return Machine(address=str(address), state=state, shown=shown, known=known)


def _host_key(key: str) -> HostKey:
    return HostKey(kind=kind_of(key), fingerprint=fingerprint(key), key=key)
