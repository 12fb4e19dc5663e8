"""`mlship force-unlock`: break the lock of a service by hand."""

from __future__ import annotations

from mlship.ops.context import Context
from mlship.ops.service import open_service
from mlship.result import Result
from mlship.target.lock import LockRecord, break_lock


class Unlocked(Result, frozen=True, kw_only=True):
    """What was broken; None if nobody held the lock."""

    target: str
    service: str
    broken: LockRecord | None


def force_unlock(ctx: Context, target: str | None = None) -> Unlocked:
    """Free the lock whoever holds it, and write that into the ledger. A holder that lives on is fenced."""
    service = open_service(ctx, target)
    return Unlocked(target=service.target, service=service.name, broken=break_lock(service.ledger))
