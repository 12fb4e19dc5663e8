"""A service on a target, as the operations on targets see it: its adapter and its ledger."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mlship.config import TargetSection, data_dir
from mlship.errors import UsageError
from mlship.ops.context import Context
from mlship.reference import check_name
from mlship.store.protocol import Store
from mlship.target.ledger import Ledger
from mlship.target.ledger_place import open_ledger, store_of
from mlship.target.loader import load_adapter
from mlship.target.protocol import Adapter, Place

LOCAL_NAME = "local"
LOCAL = TargetSection(type="local")


@dataclass(frozen=True)
class Service:
    """One service on one target. `root` is the folder of the project."""

    adapter: Adapter
    root: Path | None

    @cached_property
    def ledger(self) -> Ledger:
        """Raises TargetError if the adapter has to ask where it is, and cannot."""
        return open_ledger(self.adapter, self.root)

    @property
    def target(self) -> str:
        return self.adapter.place.name

    @property
    def name(self) -> str:
        return self.adapter.place.service


def open_service(ctx: Context, target: str | None, *, bundle_name: str | None = None) -> Service:
    """The service that `target` (None = the only one; TARGET/SERVICE = this one) runs for `bundle_name`, for
    this project, or alone.

    Raises UsageError if the target is unknown or it cannot be told which service is meant.
    """
    name, section = find_target(ctx, target)
    said = target.partition("/")[2] if target else ""
    service = said or section.service or bundle_name or (ctx.project.project.name if ctx.project else None)
    if service is None:
        service = _only_service(ctx, name, section)
    place = _place(ctx, name, section, check_name(service))
    return Service(load_adapter(section.type, place), ctx.project.root if ctx.project else None)


def services_beside(service: Service) -> list[str]:
    """The services that the ledger of the target knows, but not `service`; none, if it knows that, too."""
    known = _known(service.ledger.store, service.target)
    return [] if service.name in known else known


def find_target(ctx: Context, target: str | None) -> tuple[str, TargetSection]:
    """The target by name (or TARGET/SERVICE); `local` is always there. Raises UsageError that lists what
    there is."""
    target = target.partition("/")[0] if target else target
    known = {"local": LOCAL, **(ctx.project.targets if ctx.project else {})}
    if target is None:
        own = list(ctx.project.targets) if ctx.project else []
        candidates = own or ["local"]
        if len(candidates) != 1:
            raise UsageError("which target?", fix=f"Name one of: {', '.join(candidates)}")
        return candidates[0], known[candidates[0]]
    if target not in known:
        raise UsageError(f"there is no target {target!r}", fix=f"Targets here: {', '.join(known)}")
    return target, known[target]


def _place(ctx: Context, name: str, section: TargetSection, service: str) -> Place:
    return Place(
        name=name,
        service=service,
        settings=section.settings,
        data=data_dir(),
        labels=section.labels,
        keep=section.keep,
        ledger=section.ledger,
        project=ctx.project.root if ctx.project else None,
    )


def _only_service(ctx: Context, name: str, section: TargetSection) -> str:
    """Without a project, the one service that this target's ledger knows."""
    place = _place(ctx, name, section, "any")
    services = _known(store_of(load_adapter(section.type, place)), name)
    if len(services) == 1:
        return services[0]
    if not services:
        raise UsageError(f"nothing was ever deployed to {name}", fix="Name a bundle, or go to its project")
    raise UsageError(f"which service? {name} has {', '.join(services)}", fix=f"Write {name}/{services[0]}")


def _known(store: Store, target: str) -> list[str]:
    return sorted({key.split("/")[1] for key in store.list(f"{target}/")})
