"""Verbs about what runs on targets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mlship.api.call import Calls, File, needs_yes

if TYPE_CHECKING:
    from mlship.ops.deploy import DeployReport
    from mlship.ops.destroy import Destroyed
    from mlship.ops.history import History
    from mlship.ops.invoke import Answer
    from mlship.ops.logs import Logs
    from mlship.ops.plan import PlanReport
    from mlship.ops.status import Status


class Targets(Calls):
    """A target is a name in mlship.toml, or `TARGET/SERVICE`; None is the only one."""

    def plan(
        self, target: str | None = None, ref: str | None = None, *, out: File | None = None
    ) -> PlanReport:
        """What `deploy` would do; changes nothing. `out` saves it for `deploy`. Raises TargetError."""
        from mlship.ops import plan as op

        with self._call() as ctx:
            return op.plan(ctx, target, ref, out=Path(out) if out else None)

    def deploy(
        self,
        target: str | None = None,
        ref: str | None = None,
        *,
        plan: File | None = None,
        lock_timeout: float = 0.0,
    ) -> DeployReport:
        """Make a target run a bundle, proved there before it switches. `plan` is a saved one, refused if it
        no longer fits; `lock_timeout` are seconds to wait for another deploy. Raises UnhealthyError if the
        candidate was not healthy (the old release serves), PolicyError, LockedError, TargetError."""
        from mlship.ops import deploy as op

        with self._call() as ctx:
            return op.deploy(ctx, target, ref, Path(plan) if plan else None, lock_wait=lock_timeout)

    def status(self, target: str | None = None) -> Status:
        """What a target runs now. Raises TargetError."""
        from mlship.ops import status as op

        with self._call() as ctx:
            return op.status(ctx, target)

    def history(self, target: str | None = None, *, at: str | None = None) -> History:
        """Every release of a service, or what ran `at` a date (2026-03-01). Raises TargetError."""
        from mlship.ops import history as op

        with self._call() as ctx:
            return op.history(ctx, target, at)

    def logs(
        self,
        target: str | None = None,
        *,
        release: int | None = None,
        lines: int | None = None,
        since: str | None = None,
    ) -> Logs:
        """The last lines that a release (None: the live one) wrote: 50, or `lines`, or all `since` a time or
        for so long (`30m`). Raises TargetError, UsageError."""
        from mlship.ops import logs as op

        with self._call() as ctx:
            return op.logs(ctx, target, release, lines, since)

    def invoke(
        self,
        target: str | None = None,
        rows: object = None,
        *,
        release: int | None = None,
        via: Literal["endpoint", "tunnel"] | None = None,
    ) -> Answer:
        """Ask a target for predictions. `rows` are a DataFrame, a list of dicts, an array of shape [rows,
        features], the path of a CSV file, or a dict that is a request already. Columns that [golden] columns
        does not list are not sent. `release` is one by its number, `via` the way to the live one. Raises
        UsageError for rows that the release refuses, TargetError."""
        from mlship.api.frames import CSV
        from mlship.ops import invoke as op
        from mlship.ops.input_columns import only_inputs

        payload, kind = _request(rows)
        with self._call() as ctx:
            if kind == CSV:
                payload = only_inputs(ctx, payload)
            return op.invoke(ctx, target, payload, kind, release, via=via)

    def rollback(
        self, target: str | None = None, *, to: int | str | None = None, lock_timeout: float = 0.0
    ) -> DeployReport:
        """Go back to the release before, or `to` one by its number or bundle. Raises as `deploy`."""
        from mlship.ops import rollback as op

        with self._call() as ctx:
            return op.rollback(ctx, target, None if to is None else str(to), lock_wait=lock_timeout)

    def repair(self, target: str | None = None, *, lock_timeout: float = 0.0) -> DeployReport:
        """Finish or undo what an interrupted deploy left. Raises as `deploy`."""
        from mlship.ops import repair as op

        with self._call() as ctx:
            return op.repair(ctx, target, lock_wait=lock_timeout)

    def destroy(
        self,
        target: str | None = None,
        *,
        yes: bool = False,
        purge: bool = False,
        lock_timeout: float = 0.0,
    ) -> Destroyed:
        """Remove a service from a target, with `yes`; with `purge` its history, too. Raises TargetError."""
        from mlship.ops import destroy as op

        needs_yes(f"removing the service from {target or 'the target'}", yes=yes)
        with self._call() as ctx:
            return op.destroy(ctx, target, purge, lock_wait=lock_timeout)


def _request(rows: object) -> tuple[bytes, str]:
    import os

    from mlship.api.frames import CSV, request_of
    from mlship.errors import UsageError

    if rows is None:
        raise UsageError("nothing to send", fix="Give rows: invoke(target, frame)")
    if not isinstance(rows, (str, os.PathLike)):
        return request_of(rows)
    try:
        return Path(rows).read_bytes(), CSV
    except OSError as error:
        raise UsageError(f"{os.fspath(rows)} cannot be read", cause=error.strerror or "") from error
