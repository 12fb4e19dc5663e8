"""`mlship repair`: put right what an interrupted rollout or a crash has left."""

from __future__ import annotations

from mlship.errors import UsageError
from mlship.ops.context import Context
from mlship.ops.deploy import DeployReport, report
from mlship.ops.rollback import roll_back_to
from mlship.ops.service import open_service
from mlship.target.history import read_history
from mlship.target.journal import unfinished
from mlship.target.rollout import Rollout, observe


def repair(ctx: Context, target: str | None = None, *, lock_wait: float = 0.0) -> DeployReport:
    """Bring the service back to what is live, or was last, and remove what does not belong to it.

    A rollout that was broken off before its shift is undone; one broken off after it is finished. A service
    of which nothing was ever live is removed.
    """
    service = open_service(ctx, target)
    observed = observe(service.adapter, service.ledger)
    if observed.live is not None:
        done = roll_back_to(ctx, service, observed.live, why="repair", lock_wait=lock_wait)
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
