"""`ssh` is the hosted adapter with a machine behind SSH as its host, or with several."""

from __future__ import annotations

from mlship.errors import ConfigError
from mlship.host.ssh import Address
from mlship.store.protocol import Store
from mlship.target.hosted import HostedAdapter
from mlship.target.machines import HostKey, Machine
from mlship.target.protocol import Offer, Place
from mlship.target.settings import read_settings
from mlship.target.several import SeveralHosts
from mlship_ssh.keeping import clear, store_in, url_of
from mlship_ssh.reaching import reach
from mlship_ssh.settings import SshSettings
from mlship_ssh.trusting import machines, pin_machine


class _Keyed:
    """Its machines have keys, and a file of the project pins them."""

    place: Place
    ssh: SshSettings

    def machines(self) -> tuple[Machine, ...]:
        return machines(self.place, self.ssh)

    def pin(self, machine: Machine, keys: tuple[HostKey, ...]) -> str:
        return pin_machine(self.place, self.ssh, machine, keys)


class SshAdapter(_Keyed, HostedAdapter):
    """One machine."""

    offers: frozenset[Offer] = HostedAdapter.offers | {"trust"}

    def __init__(self, place: Place, settings: SshSettings, address: Address) -> None:
        self.ssh, self.address = settings, address
        host = reach(place, settings, address)
        super().__init__(place, settings, host, base=settings.base, python=settings.python or "python3")

    def ledger_url(self) -> str:
        """Where no base folder is set, the machine is asked for the usual one. Raises TargetError."""
        return url_of(self.place, self.ssh, self.address, self.site.base)

    def ledger_store(self) -> Store:
        """See KeepsLedger."""
        return store_in(self.site, self.address)

    def clear_ledger(self) -> None:
        """See KeepsLedger."""
        clear(self.site)


class SshMachines(_Keyed, SeveralHosts):
    """Several, each over one connection of its own."""

    offers: frozenset[Offer] = SeveralHosts.offers | {"trust"}

    def __init__(self, place: Place, settings: SshSettings, addresses: list[Address]) -> None:
        self.ssh = settings
        each = {str(address): SshAdapter(place, settings, address) for address in addresses}
        self._first = next(iter(each.values()))
        super().__init__(place, each, wave=settings.wave)

    def ledger_store(self) -> Store:
        """That of the first; see KeepsLedger."""
        return self._first.ledger_store()

    def clear_ledger(self) -> None:
        """See KeepsLedger."""
        self._first.clear_ledger()


def adapter(place: Place) -> SshAdapter | SshMachines:
    """Bind `ssh` to a place; nothing is connected before it is asked something. Raises ConfigError for
    settings that it does not have, or addresses that are none."""
    settings = read_settings(place, SshSettings)
    addresses = [Address.read(text) for text in settings.hosts]
    for address in addresses:
        if addresses.count(address) > 1:
            raise ConfigError(
                f"target {place.name} has the host {address} twice", fix="Name it once in `hosts`"
            )
    if len(addresses) == 1:
        return SshAdapter(place, settings, addresses[0])
    return SshMachines(place, settings, addresses)
