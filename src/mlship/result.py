"""What operations return: frozen, typed values. Rendering is the command line's business.

The JSON form (camelCase keys) is part of the contract and pinned by tests; a change that breaks readers
raises SCHEMA_VERSION.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

SCHEMA_VERSION = 1


class Result(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Base of every operation's result."""

    def __repr__(self) -> str:
        return _drawn[-1](self) if _drawn else super().__repr__()


_drawn: list[Callable[[Result], str]] = []


def draw_with(draw: Callable[[Result], str]) -> None:
    """From now on, results show themselves in notebooks and at the prompt as `draw` says."""
    _drawn[:] = [draw]


class ErrorInfo(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An error in the envelope: `kind` names its class, the rest is the one-line message in parts."""

    kind: str
    what: str
    cause: str = ""
    fix: str = ""


class Envelope(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What every command prints with --json: one object, whatever happened."""

    schema_version: int = SCHEMA_VERSION
    command: str
    ok: bool
    exit_code: int
    result: Any = None
    error: ErrorInfo | None = None
    warnings: tuple[str, ...] = ()


def to_json(value: Any, *, indent: bool = False) -> bytes:
    """`value` (a Result, an Envelope or plain data) as JSON."""
    data = msgspec.json.encode(value, order="deterministic")
    return msgspec.json.format(data, indent=2) if indent else data
