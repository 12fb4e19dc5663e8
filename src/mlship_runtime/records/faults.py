"""What is wrong with a copybook, and where."""

from __future__ import annotations

from typing import NamedTuple

from mlship_runtime.errors import BadInput


class Spot(NamedTuple):
    """Line and column, both from 1."""

    line: int
    column: int


class CopybookError(BadInput):
    """`spot` is where; the message begins with it."""

    def __init__(self, name: str, spot: Spot, what: str, *, cause: str = "", fix: str = "") -> None:
        super().__init__(f"{name}, line {spot.line}, column {spot.column}: {what}", cause=cause, fix=fix)
        self.spot = spot
