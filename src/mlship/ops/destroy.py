"""`mlship destroy`: remove a service from a target."""

from __future__ import annotations

from mlship.ops.context import Context
from mlship.ops.service import open_service
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
    """Stop and remove every release of the service; only the ledger stays, and with `purge` nothing."""
    service = open_service(ctx, target)
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
