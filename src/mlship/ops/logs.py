"""`mlship logs`: the last lines that a release wrote."""

from __future__ import annotations

from mlship.ops.context import Context
from mlship.ops.service import open_service
from mlship.result import Result


class Logs(Result, frozen=True, kw_only=True):
    """Lines of one release's log, oldest first."""

    target: str
    service: str
    lines: tuple[str, ...]


def logs(ctx: Context, target: str | None = None, release: int | None = None, lines: int = 50) -> Logs:
    """Read the log of `release` (None = the live one)."""
    service = open_service(ctx, target)
    read = tuple(service.adapter.logs(release, lines))
    return Logs(target=service.target, service=service.name, lines=read)
