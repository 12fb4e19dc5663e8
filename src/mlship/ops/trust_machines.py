"""`mlship target trust`: the keys with which a target's machines prove who they are, shown and pinned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from mlship.errors import PolicyError, UsageError
from mlship.ops.context import Context
from mlship.ops.service import open_service
from mlship.result import Result
from mlship.target.machines import HostKey, Keyed, Machine


class MachineKeys(Result, frozen=True, kw_only=True):
    """The machines of a target as they are now; `changed` are the addresses that were pinned by this, in
    `file`."""

    target: str
    machines: tuple[Machine, ...]
    changed: tuple[str, ...] = ()
    file: str = ""

    @property
    def open(self) -> tuple[Machine, ...]:
        """Those that are not pinned, or show another key than the pinned one."""
        return tuple(machine for machine in self.machines if machine.state != "pinned")

    @property
    def alarming(self) -> bool:
        return any(machine.state == "changed" for machine in self.machines)


def look(ctx: Context, target: str | None = None) -> MachineKeys:
    """Ask every machine for its keys. Raises UsageError for a target whose machines have none."""
    adapter = _keyed(ctx, target)
    return MachineKeys(target=adapter.place.name, machines=adapter.machines())


def pin(ctx: Context, seen: MachineKeys, fingerprints: Sequence[str] = ()) -> MachineKeys:
    """Pin what `seen` shows of the machines that are open; with `fingerprints` only the keys that have one of
    them. Raises PolicyError, before anything is written, for a machine that shows none of these."""
    adapter = _keyed(ctx, seen.target)
    chosen = [(machine, _chosen(machine, fingerprints)) for machine in seen.open]
    files = {adapter.pin(machine, keys) for machine, keys in chosen}
    return MachineKeys(
        target=seen.target,
        machines=adapter.machines() if chosen else seen.machines,
        changed=tuple(machine.address for machine, _ in chosen),
        file=next(iter(files), ""),
    )


def _chosen(machine: Machine, fingerprints: Sequence[str]) -> tuple[HostKey, ...]:
    if not fingerprints:
        return machine.shown
    found = tuple(key for key in machine.shown if key.fingerprint in fingerprints)
    if not found:
        raise PolicyError(
            f"{machine.address} shows no key with the fingerprint {' or '.join(fingerprints)}",
            cause=f"it shows {', '.join(map(str, machine.shown))}",
            fix="Ask who runs it: somebody may stand between",
        )
    return found


def _keyed(ctx: Context, target: str | None) -> Keyed:
    adapter = open_service(ctx, target).adapter
    if "trust" not in adapter.offers:
        raise UsageError(f"{adapter.place.name} has no machines whose keys are to be trusted")
    return cast(Keyed, adapter)
