"""`mlship logs`: the last lines that a release wrote."""

from __future__ import annotations

from mlship.errors import TargetError
from mlship.ops.context import Context
from mlship.ops.service import Service, open_service
from mlship.result import Result
from mlship.target.history import read_history


class Logs(Result, frozen=True, kw_only=True):
    """Lines of one release's log, oldest first."""

    target: str
    service: str
    lines: tuple[str, ...]


def logs(ctx: Context, target: str | None = None, release: int | None = None, lines: int = 50) -> Logs:
    """Read the log of `release` (None = the live one, else the last).

    Of a release that was refused, and removed, the ledger has it. Raises TargetError where no logs are kept.
    """
    service = open_service(ctx, target)
    if "logs" not in service.adapter.offers:
        raise TargetError(f"{service.target} keeps no logs that mlship can read")
    try:
        read = tuple(service.adapter.logs(release, lines))
    except TargetError:
        read = _of_refused(service, release)[-lines:]
        if not read:
            raise
    return Logs(target=service.target, service=service.name, lines=read)


def _of_refused(service: Service, release: int | None) -> tuple[str, ...]:
    records = [record for record in read_history(service.ledger) if record.log]
    found = [record.log for record in records if release in (None, record.release)]
    return found[-1] if found else ()
