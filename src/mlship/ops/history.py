"""`mlship history`: every rollout of a service, and what ran at a given time."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time
from typing import Any

from mlship.errors import UsageError
from mlship.ops.context import Context
from mlship.ops.service import open_service
from mlship.result import Result
from mlship.target.history import RolloutRecord, live_at, read_history

_DAY = re.compile(r"\d{4}-?\d\d-?\d\d")


class History(Result, frozen=True, kw_only=True):
    """`rollouts` oldest first; with `at`, `live` is what ran then (None = nothing)."""

    target: str
    service: str
    rollouts: tuple[RolloutRecord, ...]
    at: str | None = None
    live: dict[str, Any] | None = None


def history(ctx: Context, target: str | None = None, at: str | None = None) -> History:
    """Read the ledger. `at` is an ISO 8601 date (its end is meant, or now) or time; without a zone it is
    local time. Raises UsageError for a time that is still to come.
    """
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
    now = datetime.now(UTC)
    try:
        given = datetime.fromisoformat(text)
        if _DAY.fullmatch(text):
            last = datetime.combine(given, time.max).astimezone(UTC)
            moment = now if given.date() == datetime.now().astimezone().date() else last
        else:
            moment = given.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"{text!r} is not a date", fix="Write it like 2026-11-21 or 2026-11-21T09:30"
        ) from error
    if moment > now:
        raise UsageError(f"{text} is still to come", fix="mlship status shows what runs now")
    return moment
