"""`mlship logs`: the last lines that a release wrote."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from mlship.errors import TargetError, UsageError
from mlship.ops.context import Context
from mlship.ops.service import Service, open_service
from mlship.result import Result
from mlship.target.history import read_history
from mlship_runtime.onhost.dated import written_within


class Logs(Result, frozen=True, kw_only=True):
    """Lines of one release's log, oldest first."""

    target: str
    service: str
    lines: tuple[str, ...]


LINES = 50
_ALL = 1 << 20  # lines
_AGE = re.compile(r"(?P<count>[0-9]{1,9})(?P<unit>[smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def logs(
    ctx: Context,
    target: str | None = None,
    release: int | None = None,
    lines: int | None = None,
    since: str | None = None,
) -> Logs:
    """Read the log of `release` (None = the live one, else the last): what was written `since` a time or for
    so long (`30m`), the last `lines` of it, or all; without either the last 50 lines.

    Of a release that was refused, and removed, the ledger has it. Raises TargetError where no logs are kept,
    UsageError.
    """
    count, within = beginning(lines, since)
    service = open_service(ctx, target)
    if "logs" not in service.adapter.offers:
        raise TargetError(f"{service.target} keeps no logs that mlship can read")
    try:
        read = tuple(service.adapter.logs(release, count, within))
    except TargetError:
        read = _of_refused(service, release)
        read = tuple(read if within is None else written_within(read, within))[-count:]
        if not read:
            raise
    return Logs(target=service.target, service=service.name, lines=read)


def beginning(lines: int | None, since: str | None) -> tuple[int, float | None]:
    """How many lines, and how many seconds back. Raises UsageError."""
    if since is None:
        return lines or LINES, None
    return lines or _ALL, _seconds_since(since)


def _seconds_since(text: str) -> float:
    """Until now, of `30s`, `30m`, `2h`, `3d`; or of a time, which is local without a zone. Told as an age, it
    means the same to a host whose clock is wrong."""
    if found := _AGE.fullmatch(text):
        return float(int(found["count"]) * _SECONDS[found["unit"]])
    try:
        given = datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        fix = "Write how long (30m, 2h, 3d) or a time (2026-11-21 or 2026-11-21T09:30)"
        raise UsageError(f"{text!r} is no time", fix=fix) from error
    seconds = (datetime.now(UTC) - given).total_seconds()
    if seconds < 0:
        raise UsageError(f"{text} is still to come", fix="mlship logs --follow waits for what comes")
    return seconds


def _of_refused(service: Service, release: int | None) -> tuple[str, ...]:
    records = [record for record in read_history(service.ledger) if record.log]
    found = [record.log for record in records if release in (None, record.release)]
    return found[-1] if found else ()
