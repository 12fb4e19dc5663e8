"""Plans: the ordered actions from what is observed to what is wanted, as values that can be printed and
saved.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from mlship.digest import sha256
from mlship.errors import UsageError
from mlship.result import Result, to_json
from mlship.target.deployment import Wanted
from mlship_runtime.files import write_atomic

Phase = Literal["clean", "stage", "start", "prove", "shift", "settle", "retire", "remove"]
PLAN_SCHEMA = 1


class Action(Result, frozen=True, kw_only=True):
    """One step: `verb` on `subject`, with the exact `command` it will make.

    `arguments` may refer to the result of an earlier action as `{name.key}`; `name` is unique in its plan.
    `host` is set where a target has several, `turn` says which actions may be done side by side: those of one
    turn on different hosts. A turn begins when the one before it has ended.
    """

    name: str
    phase: Phase
    verb: str
    subject: str
    command: str
    arguments: dict[str, Any] = {}
    bytes: int = 0
    host: str = ""
    turn: int = 0


class Plan(Result, frozen=True, kw_only=True):
    """Actions in order. `basis` is the digest of the observed state that they start from."""

    target: str
    service: str
    basis: str
    wanted: Wanted | None
    actions: tuple[Action, ...]
    release: int | None = None
    schema_version: int = PLAN_SCHEMA

    @property
    def changes(self) -> int:
        return len(self.actions)

    @property
    def digest(self) -> str:
        return sha256(to_json(self))

    @property
    def promise(self) -> tuple[Any, ...]:
        """What whoever read the plan was promised: the bundle, and every step as it was shown."""
        wanted = self.wanted
        steps = tuple((x.verb, x.subject, x.command, x.host, x.turn) for x in self.actions)
        return (wanted and (wanted.digest, wanted.platform, wanted.keep), steps)


def save_plan(plan: Plan, path: Path) -> None:
    """Write a plan to be deployed later, and only if it still fits; private. Raises UsageError."""
    try:
        write_atomic(path, to_json(plan, indent=True) + b"\n")
    except OSError as error:
        raise UsageError(f"cannot write the plan {path}", cause=error.strerror or "") from error


def load_plan(path: Path) -> Plan:
    """Read a saved plan. Raises UsageError for anything that is not one this mlship understands."""
    try:
        data = path.read_bytes()
        version = msgspec.json.decode(data).get("schemaVersion")
    except OSError as error:
        raise UsageError(f"cannot read the plan {path}", cause=error.strerror or "") from error
    except (msgspec.DecodeError, AttributeError) as error:
        raise UsageError(f"{path} is not a saved plan", fix="Make one with mlship plan --out FILE") from error
    if isinstance(version, int) and version > PLAN_SCHEMA:
        raise UsageError(
            f"{path} was made by a newer mlship", fix="Update mlship, or plan again with this one"
        )
    try:
        return msgspec.json.decode(data, type=Plan)
    except msgspec.ValidationError as error:
        raise UsageError(f"{path} is not a saved plan", cause=str(error)) from error
