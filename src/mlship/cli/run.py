"""One run of the command line: its switches, what it shows while working, and with which code it ends."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from mlship.cli.catalogue import MODULES

if TYPE_CHECKING:
    from mlship.cli.progress import Shown
    from mlship.ops.context import Context


@dataclass
class Run:
    """`words` is the command line without the program; switches are guessed from it until it is parsed."""

    words: list[str]
    command: str = ""
    json: bool = False
    quiet: bool = False
    debug: bool = False
    timeout: float | None = None
    summary: Path | None = None
    exit_code: int = 0
    warnings: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, words: list[str]) -> Run:
        """What can be told before the words are parsed, so that a wrong one is reported in the right form."""
        return cls(
            words,
            command=next((word for word in words if word in MODULES), ""),
            json="--json" in words or _switched_on("MLSHIP_JSON"),
            debug="--debug" in words or _switched_on("MLSHIP_DEBUG"),
        )

    @cached_property
    def progress(self) -> Shown:
        from mlship.cli.progress import choose

        return choose(silent=self.json or self.quiet)

    @cached_property
    def context(self) -> Context:
        from mlship.ops.context import Context

        context = Context.here(progress=self.progress, timeout=self.timeout)
        self.warnings = context.warnings
        return context

    def close(self) -> None:
        """Take what is being shown off the terminal."""
        if "progress" in self.__dict__:
            self.progress.close()

    @property
    def can_ask(self) -> bool:
        return not self.json and sys.stdin.isatty() and sys.stderr.isatty()

    def confirm(self, question: str, *, yes: bool) -> None:
        """Ask on a terminal; without one, `yes` must have been given. Raises UsageError otherwise."""
        from mlship.errors import UsageError

        if yes:
            return
        if not self.can_ask:
            raise UsageError("this needs a yes, and there is no terminal to ask on", fix="Add --yes")
        self.close()
        sys.stderr.write(f"{question} [y/N] ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise UsageError("not confirmed, nothing was changed")


def _switched_on(variable: str) -> bool:
    return os.environ.get(variable, "").lower() not in ("", "0", "false", "no", "off")
