"""`mlship status`: what the target runs now, asked from the target itself."""

from __future__ import annotations

from mlship.errors import MlshipError
from mlship.ops.context import Context
from mlship.ops.service import Service, open_service
from mlship.result import Result
from mlship.target.deployment import Deployment, Endpoint, OnHost, ReleaseState
from mlship.target.history import UNFINISHED, RolloutRecord, read_history
from mlship.target.lock import LockRecord, owner_is_gone, read_lock


class HostStatus(Result, frozen=True, kw_only=True):
    """One of several hosts of a target; of one that was not `reached`, `problems` says why."""

    host: str
    reached: bool
    live: ReleaseState | None
    healthy: bool
    releases: tuple[ReleaseState, ...]
    endpoints: tuple[Endpoint, ...]
    problems: tuple[str, ...]
    keeper: str = ""


class Status(Result, frozen=True, kw_only=True):
    """`interrupted`: a rollout that was broken off and that the next changing command finishes or undoes.
    `hosts`: one by one, where the target has several.
    """

    target: str
    service: str
    live: ReleaseState | None
    healthy: bool
    releases: tuple[ReleaseState, ...]
    endpoints: tuple[Endpoint, ...]
    problems: tuple[str, ...]
    lock: LockRecord | None
    interrupted: RolloutRecord | None
    hosts: tuple[HostStatus, ...] = ()
    keeper: str = ""


def status(ctx: Context, target: str | None = None) -> Status:
    """Observe; read-only."""
    service = open_service(ctx, target)
    seen = service.adapter.observe()
    held, broken, unread = _ledger(service, seen)
    return Status(
        target=service.target,
        service=service.name,
        live=seen.live,
        healthy=seen.healthy,
        releases=seen.releases,
        endpoints=seen.endpoints,
        keeper=seen.keeper if seen.exists else "",
        problems=(*seen.problems, *_say(broken), *unread),
        lock=held,
        interrupted=broken,
        hosts=tuple(_on_host(at) for at in seen.hosts),
    )


def _on_host(at: OnHost) -> HostStatus:
    seen = at.seen or Deployment(service="", problems=(f"it cannot be reached: {at.trouble}",))
    return HostStatus(
        host=at.host,
        reached=at.seen is not None,
        live=seen.live,
        healthy=seen.healthy,
        releases=seen.releases,
        endpoints=seen.endpoints,
        problems=seen.problems,
        keeper=seen.keeper if seen.exists else "",
    )


def _ledger(
    service: Service, seen: Deployment
) -> tuple[LockRecord | None, RolloutRecord | None, tuple[str, ...]]:
    """Who holds the lock, what was broken off, and why that cannot be told: with some hosts out of reach, the
    ledger may be, too."""
    try:
        lock = read_lock(service.ledger)
        held = lock if lock is not None and lock.held and not owner_is_gone(lock) else None
        return held, _interrupted(read_history(service.ledger), held), ()
    except MlshipError as error:
        if not seen.unreached:
            raise
        return None, None, (f"the history cannot be read: {error.what}",)


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
