"""`mlship repair`: put right what an interrupted rollout or a crash has left."""

from __future__ import annotations

from mlship.errors import UsageError
from mlship.ops.context import Context
from mlship.ops.deploy import DeployReport, report
from mlship.ops.rollback import roll_back_to
from mlship.ops.service import open_service
from mlship.target.again import wanted_as_is
from mlship.target.history import read_history
from mlship.target.journal import unfinished
from mlship.target.rollout import Rollout, observe


def repair(ctx: Context, target: str | None = None, *, lock_wait: float = 0.0) -> DeployReport:
    """Bring the service back to what is live, or was last, and remove what does not belong to it.

    A rollout that was broken off before its shift is undone; one broken off after it is finished. A service
    of which nothing was ever live is removed. Of several hosts, one that does not have the live release keeps
    what is live there: a deploy brings it on.
    """
    service = open_service(ctx, target)
    observed = observe(service.adapter, service.ledger)
    if observed.live is not None:
        wanted = wanted_as_is(observed, observed.live, service.adapter.place.keep)
        done = roll_back_to(ctx, service, wanted, why="repair", lock_wait=lock_wait)
    elif observed.exists or unfinished(service.ledger):
        rollout = Rollout(
            service.adapter,
            service.ledger,
            None,
            why="repair",
            progress=ctx.progress,
            lock_wait=lock_wait,
            timeout=ctx.timeout,
        )
        done = report(service, rollout.run())
    elif read_history(service.ledger):
        done = DeployReport(
            target=service.target, service=service.name, changed=False, release=None, actions=(), endpoints=()
        )
    else:
        raise UsageError(
            f"nothing was ever deployed to {service.target} as {service.name}", fix="mlship deploy"
        )
    return done
