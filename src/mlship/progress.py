"""How long work tells that it goes on: the operations report, the command line draws."""

from __future__ import annotations

from typing import Literal, Protocol

Unit = Literal["items", "bytes"]


class Progress(Protocol):
    """Receives what an operation is doing. Never raises, never asks."""

    def say(self, text: str) -> None:
        """One finished step, as a plain sentence."""
        ...

    def phase(self, name: str, total: int | None = None, *, unit: Unit = "items") -> None:
        """A new phase; `total` where it is known. Of bytes the rate is told, too."""
        ...

    def advance(self, amount: int = 1) -> None:
        """`amount` more of the current phase is done."""
        ...


class Silent:
    """Reports nothing."""

    def say(self, text: str) -> None:
        """Nothing."""

    def phase(self, name: str, total: int | None = None, *, unit: Unit = "items") -> None:
        """Nothing."""

    def advance(self, amount: int = 1) -> None:
        """Nothing."""


SILENT: Progress = Silent()
