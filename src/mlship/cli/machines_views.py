"""How the machines of a target are shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mlship.cli.blocks import Block, Facts, Line

if TYPE_CHECKING:
    from mlship.ops.trust_machines import MachineKeys
    from mlship.target.machines import HostKey, Machine


def machine_keys(result: MachineKeys) -> Iterator[Block]:
    done = f"{', '.join(result.changed)} pinned in {result.file}; commit it" if result.changed else ""
    yield Line(done or f"the host keys of {result.target} are pinned, and right")
    yield Facts([(machine.address, _keys(machine.known)) for machine in result.machines])


def told(machine: Machine) -> list[str]:
    """What a person has to know before the keys of `machine` are pinned."""
    shows = f"{machine.address} shows {_keys(machine.shown)}"
    if machine.state == "changed":
        return [f"{shows}, and had {_keys(machine.known)}: it was set up anew, or somebody stands between"]
    return [f"{shows}, as your own known_hosts has it" if machine.state == "known" else shows]


def _keys(keys: tuple[HostKey, ...]) -> str:
    return ", ".join(map(str, keys)) or "no key"
