"""What the ledger tells: every rollout with its outcome, and what was live at any time."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from mlship.result import Result
from mlship.target.ledger import Entry, Ledger

UNFINISHED = "unfinished"


class RolloutRecord(Result, frozen=True, kw_only=True):
    """One rollout. `outcome` is succeeded, rolled-back, not-restored, interrupted, or unfinished while it
    has no end; `live` is what it left live; `log` is what a release that failed had written.
    """

    rollout: int
    why: str
    release: int | None
    reference: str
    digest: str
    settings_digest: str
    settings: dict[str, Any]
    by: str
    began: str
    ended: str
    outcome: str
    error: str
    stopped_at: str
    live: dict[str, Any] | None
    log: tuple[str, ...] = ()


def read_history(ledger: Ledger) -> list[RolloutRecord]:
    """Every rollout, oldest first."""
    rollouts: dict[int, list[Entry]] = {}
    for entry in ledger.entries():
        if entry.kind != "unlock":
            rollouts.setdefault(entry.rollout, []).append(entry)
    return [_record(entries) for entries in rollouts.values() if entries[0].kind == "begin"]


def last_release(ledger: Ledger) -> int:
    """The highest release number that the ledger knows of; 0 if none."""
    numbers = [e.data.get("release") or 0 for e in ledger.entries() if e.kind == "begin"]
    return max(numbers, default=0)


def live_at(history: list[RolloutRecord], moment: datetime) -> dict[str, Any] | None:
    """What was live at `moment` (aware), as the ledger recorded it; None if nothing was."""
    live = None
    for record in history:
        if record.ended and datetime.fromisoformat(record.ended) <= moment:
            live = record.live
    return live


def _record(entries: list[Entry]) -> RolloutRecord:
    begin = entries[0]
    # Who slept through the loss of the lock may still write a line behind the end.
    last = next((entry for entry in reversed(entries) if entry.kind == "end"), entries[-1])
    ended = last.kind == "end"
    data = begin.data
    return RolloutRecord(
        rollout=begin.sequence,
        why=data["why"],
        release=data["release"],
        reference=data["reference"],
        digest=data["digest"],
        settings_digest=data["settingsDigest"],
        settings=data["settings"],
        by=begin.by,
        began=begin.at,
        ended=last.at if ended else "",
        outcome=last.data["outcome"] if ended else UNFINISHED,
        error=last.data["error"] if ended else "",
        stopped_at="" if ended else _where(last),
        live=last.data["live"] if ended else data["before"],
        log=tuple(last.data.get("log", ())) if ended else (),
    )


def _where(last: Entry) -> str:
    """The action that an interrupted rollout was at."""
    if last.kind == "begin":
        return "before its first action"
    if last.kind == "action":
        return f"during {last.data['verb']} {last.data['subject']}"
    return f"after {last.data['name']}"
