"""`mlship status`: what the target runs now, asked from the target itself."""

from __future__ import annotations

from mlship.ops.context import Context
from mlship.ops.service import open_service
from mlship.result import Result
from mlship.target.deployment import Endpoint, ReleaseState
from mlship.target.history import UNFINISHED, RolloutRecord, read_history
from mlship.target.lock import LockRecord, owner_is_gone, read_lock


class Status(Result, frozen=True, kw_only=True):
    """`interrupted`: a rollout that was broken off and that the next changing command finishes or undoes."""

    target: str
    service: str
    live: ReleaseState | None
    healthy: bool
    releases: tuple[ReleaseState, ...]
    endpoints: tuple[Endpoint, ...]
    problems: tuple[str, ...]
    lock: LockRecord | None
    interrupted: RolloutRecord | None


def status(ctx: Context, target: str | None = None) -> Status:
    """Observe; read-only."""
    service = open_service(ctx, target)
    seen = service.adapter.observe()
    lock = read_lock(service.ledger)
    held = lock if lock is not None and lock.held and not owner_is_gone(lock) else None
    broken = _interrupted(read_history(service.ledger), held)
    return Status(
        target=service.target,
        service=service.name,
        live=seen.live,
        healthy=seen.healthy,
        releases=seen.releases,
        endpoints=seen.endpoints,
        problems=(*seen.problems, *_say(broken)),
        lock=held,
        interrupted=broken,
    )


def _interrupted(history: list[RolloutRecord], lock: LockRecord | None) -> RolloutRecord | None:
    """The last rollout, if it has no end and nobody is still at it."""
    if not history or history[-1].outcome != UNFINISHED:
        return None
    return history[-1] if lock is None else None


def _say(broken: RolloutRecord | None) -> tuple[str, ...]:
    if broken is None:
        return ()
    what = f"{broken.why} of {broken.reference}" if broken.reference else broken.why
    return (f"a {what} by {broken.by} was interrupted {broken.stopped_at} (mlship repair puts it right)",)
