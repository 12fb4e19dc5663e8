"""`mlship history`: every rollout of a service, and what ran at a given time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from mlship.errors import UsageError
from mlship.ops.context import Context
from mlship.ops.service import open_service
from mlship.result import Result
from mlship.target.history import RolloutRecord, live_at, read_history


class History(Result, frozen=True, kw_only=True):
    """`rollouts` oldest first; with `at`, `live` is what ran then (None = nothing)."""

    target: str
    service: str
    rollouts: tuple[RolloutRecord, ...]
    at: str | None = None
    live: dict[str, Any] | None = None


def history(ctx: Context, target: str | None = None, at: str | None = None) -> History:
    """Read the ledger. `at` is an ISO 8601 date or time; without a zone it is local time."""
    service = open_service(ctx, target)
    rollouts = read_history(service.ledger)
    moment = _moment(at) if at else None
    return History(
        target=service.target,
        service=service.name,
        rollouts=tuple(rollouts),
        at=moment.isoformat() if moment else None,
        live=live_at(rollouts, moment) if moment else None,
    )


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError as error:
        raise UsageError(
            f"{text!r} is not a date", fix="Write it like 2026-11-21 or 2026-11-21T09:30"
        ) from error
