"""`mlship destroy`: remove a service from a target."""

from __future__ import annotations

from mlship.errors import UsageError
from mlship.ops.context import Context
from mlship.ops.service import open_service, services_beside
from mlship.result import Result
from mlship.target.plan import Action
from mlship.target.rollout import Rollout


class Destroyed(Result, frozen=True, kw_only=True):
    """What was removed; with `purged`, the ledger too."""

    target: str
    service: str
    changed: bool
    purged: bool
    actions: tuple[Action, ...]


def destroy(
    ctx: Context, target: str | None = None, purge: bool = False, *, lock_wait: float = 0.0
) -> Destroyed:
    """Stop and remove every release of the service; only the ledger stays, and with `purge` nothing.

    Raises UsageError if there never was such a service, and there are others.
    """
    service = open_service(ctx, target)
    others = services_beside(service)
    if others:
        raise UsageError(
            f"there is no {service.name} on {service.target}",
            cause=f"it has {', '.join(others)}",
            fix=f"Name the service: mlship destroy {service.target}/{others[0]}",
        )
    rollout = Rollout(
        service.adapter,
        service.ledger,
        None,
        why="destroy",
        progress=ctx.progress,
        lock_wait=lock_wait,
        timeout=ctx.timeout,
        purge=purge,
    )
    rolled = rollout.run()
    return Destroyed(
        target=service.target,
        service=service.name,
        changed=rolled.changed,
        purged=purge,
        actions=rolled.actions,
    )
