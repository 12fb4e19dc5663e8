"""The rollout's journal: in the ledger before each action and after it, with an end for every beginning."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext, suppress
from threading import RLock
from typing import Any, Literal

import msgspec

from mlship.errors import LockedError, RegistryError, TargetError
from mlship.target.deployment import Deployment
from mlship.target.history import UNFINISHED, RolloutRecord, read_history
from mlship.target.ledger import Ledger
from mlship.target.lock import Lock
from mlship.target.plan import Action, Plan

Why = Literal["deploy", "rollback", "destroy", "repair"]


def begin(ledger: Ledger, lock: Lock, plan: Plan, before: Deployment, why: Why) -> Journal:
    """Write what is about to be done, and to what."""
    entry = ledger.append("begin", _begin(plan, before, why), fence=lock.fence)
    return Journal(ledger, lock, entry.rollout)


class Journal:
    """Writes what is about to be done before, and what came of it after; one at a time (`turn`), for steps on
    several hosts are taken side by side. `phase` is that of the first step that failed, else of the last.
    """

    def __init__(self, ledger: Ledger, lock: Lock, rollout: int) -> None:
        self.ledger, self.lock, self.rollout = ledger, lock, rollout
        self.turn = RLock()
        self.phase, self.failed = "stage", False

    def step(self, index: int, action: Action, *, must: bool = True) -> Step:
        """`must` be written down: the way back is gone also where nothing can be, as on a full disk."""
        return Step(self, index, action, must)

    def end(self, outcome: str, after: Deployment | None, error: str = "", log: Sequence[str] = ()) -> None:
        """Close the rollout; `log` is what a release that failed had written."""
        live = msgspec.to_builtins(after.live) if after and after.live else None
        data = {"outcome": outcome, "live": live, "error": error, "log": list(log)}
        self.ledger.append("end", data, fence=self.lock.fence, rollout=self.rollout)


class Step:
    """One action between its two journal entries; an error is journalled and goes on."""

    def __init__(self, journal: Journal, index: int, action: Action, must: bool) -> None:
        self.journal, self.index, self.action, self.must = journal, index, action, must
        self.result: dict[str, Any] = {}

    def __enter__(self) -> Step:
        with self.journal.turn:
            self.journal.lock.check()
            if not self.journal.failed:
                self.journal.phase = self.action.phase
            self._append("action", {"index": self.index, **msgspec.to_builtins(self.action)}, self.must)
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, LockedError):
            return
        said = {"ok": error is None, "error": str(error) if error else "", "result": self.result}
        with self.journal.turn:
            if error and not self.journal.failed:
                self.journal.phase, self.journal.failed = self.action.phase, True
            data = {"index": self.index, "name": self.action.name, **said}
            # Where both fail, as with a host that falls, it is the action that is told of.
            self._append("result", data, self.must and error is None)

    def _append(self, kind: Literal["action", "result"], data: dict[str, Any], must: bool) -> None:
        with nullcontext() if must else suppress(RegistryError, TargetError):
            self.journal.ledger.append(
                kind, data, fence=self.journal.lock.fence, rollout=self.journal.rollout
            )


def unfinished(ledger: Ledger) -> list[RolloutRecord]:
    """Rollouts without an end: one may be under way, the others were broken off."""
    return [record for record in read_history(ledger) if record.outcome == UNFINISHED]


def close_unfinished(ledger: Ledger, lock: Lock, seen: Deployment) -> None:
    """Write the end of rollouts that never came to it; while we hold the lock, nobody is at one of them."""
    live = msgspec.to_builtins(seen.live) if seen.live else None
    for record in unfinished(ledger):
        data = {"outcome": "interrupted", "live": live, "error": record.stopped_at}
        ledger.append("end", data, fence=lock.fence, rollout=record.rollout)


def _begin(plan: Plan, before: Deployment, why: Why) -> dict[str, Any]:
    wanted = plan.wanted
    return {
        "why": why,
        "plan": plan.digest,
        "basis": plan.basis,
        "release": plan.release,
        "reference": wanted.reference if wanted else "",
        "digest": wanted.digest if wanted else "",
        "settingsDigest": wanted.settings_digest if wanted else "",
        "settings": wanted.settings if wanted else {},
        "before": msgspec.to_builtins(before.live) if before.live else None,
        "actions": [a.name for a in plan.actions],
    }
