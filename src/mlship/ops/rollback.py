"""`mlship rollback`: deploy an earlier release that is still on the target."""

from __future__ import annotations

from mlship.errors import UsageError
from mlship.ops.context import Context
from mlship.ops.deploy import DeployReport, report
from mlship.ops.service import Service, open_service
from mlship.reference import parse_reference
from mlship.target.again import wanted_again
from mlship.target.deployment import Deployment, ReleaseState, Wanted
from mlship.target.journal import Why
from mlship.target.rollout import Rollout


def rollback(
    ctx: Context, target: str | None = None, to: str | None = None, *, lock_wait: float = 0.0
) -> DeployReport:
    """Go back to the release before the live one, or to `to` (a release number, a reference or a digest).

    Nothing is sent: the release must still be on the target. Raises UsageError that lists those that are.
    """
    service = open_service(ctx, target)
    observed = service.adapter.observe()
    wanted = wanted_again(observed, _choose(observed, to), service.adapter.place.keep)
    return roll_back_to(ctx, service, wanted, why="rollback", lock_wait=lock_wait)


def roll_back_to(
    ctx: Context, service: Service, wanted: Wanted, *, why: Why, lock_wait: float = 0.0
) -> DeployReport:
    """A rollout of what is on the target already."""
    rollout = Rollout(
        service.adapter,
        service.ledger,
        wanted,
        why=why,
        progress=ctx.progress,
        lock_wait=lock_wait,
        timeout=ctx.timeout,
    )
    return report(service, rollout.run())


def _choose(observed: Deployment, to: str | None) -> ReleaseState:
    kept = [r for r in observed.releases if r.served and r.number != observed.live_number]
    there = ", ".join(f"{r.number} ({r.reference})" for r in kept) or "none"
    if to is None:
        earlier = [r for r in kept if observed.live is None or not _same(r, observed.live)]
        if not earlier:
            raise UsageError(
                "there is no earlier release to go back to", fix=f"Releases that are kept: {there}"
            )
        return max(earlier, key=lambda r: r.number)
    found = [r for r in kept if _is(r, to)]
    if not found:
        raise UsageError(
            f"{to} is not among the releases that are kept", fix=f"Kept: {there}; deploy any other one"
        )
    return max(found, key=lambda r: r.number)


def _same(one: ReleaseState, other: ReleaseState) -> bool:
    return (one.digest, one.settings_digest) == (other.digest, other.settings_digest)


def _is(release: ReleaseState, to: str) -> bool:
    if to.isdigit():
        return release.number == int(to)
    if to.startswith("sha256:"):
        return release.digest.startswith(to)
    reference = parse_reference(to)
    if reference.digest:
        return release.digest == reference.digest
    return release.reference == str(reference)
