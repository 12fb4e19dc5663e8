"""What is shown while an operation works: bars on a terminal, plain lines elsewhere, always on stderr."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Protocol

from mlship.cli.terminal import fancy, in_notebook
from mlship.progress import Progress, Silent, Unit

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

WORTH_A_RATE = 1.0  # seconds of a phase after which its end is told
PAUSE = 10.0  # seconds between two plain lines about the same phase
MEBI = 1 << 20
PLAIN_COLUMNS = 4  # of a bar: spinner, name, bar, share; then the rate, where there is one


class Shown(Progress, Protocol):
    """Progress that can be taken off the terminal."""

    def close(self) -> None:
        """Nothing more comes; leave a clean line behind."""
        ...


class Nothing(Silent):
    """--quiet and --json."""

    def close(self) -> None:
        """Nothing."""


class Lines:
    """Plain lines, none overwritten: for logs of CI and for files."""

    def __init__(self) -> None:
        self._name, self._total, self._done, self._told = "", None, 0, 0.0
        self._unit, self._since = "items", 0.0

    _total: int | None

    def say(self, text: str) -> None:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

    def phase(self, name: str, total: int | None = None, *, unit: Unit = "items") -> None:
        self._end()
        self._name, self._total, self._done, self._told = name, total, 0, time.monotonic()
        self._unit, self._since = unit, self._told
        self.say(f"{name} ...")

    def advance(self, amount: int = 1) -> None:
        self._done += amount
        now = time.monotonic()
        if now - self._told >= PAUSE:
            self._told = now
            self.say(f"{self._name} ... {self._share()}{self._rate(now)}")

    def _share(self) -> str:
        if self._total:
            return f"{min(100, 100 * self._done // self._total)} %"
        return f"{self._done // MEBI} MiB" if self._done >= MEBI else str(self._done)

    def _rate(self, now: float) -> str:
        if self._unit == "items" or now <= self._since:
            return ""
        return f", {self._done / (now - self._since) / 1e6:.1f} MB/s"

    def _end(self) -> None:
        """What took long enough to have a rate is told once more, as a whole."""
        now = time.monotonic()
        if self._unit == "bytes" and self._done >= MEBI and now - self._since >= WORTH_A_RATE:
            self.say(f"{self._name}: {self._done / 1e6:.1f} MB{self._rate(now)}")
        self._done = 0

    def close(self) -> None:
        self._end()


class Bars:
    """One bar for the current phase, finished steps as lines above it."""

    def __init__(self) -> None:
        self._bars: RichProgress | None = None
        self._task: TaskID | None = None

    def say(self, text: str) -> None:
        self._started().console.print(text, markup=False, highlight=False)

    def phase(self, name: str, total: int | None = None, *, unit: Unit = "items") -> None:
        from rich.progress import TransferSpeedColumn

        bars = self._started()
        if self._task is not None:
            bars.remove_task(self._task)
        rate = (TransferSpeedColumn(),) if unit == "bytes" else ()
        bars.columns = (*bars.columns[:PLAIN_COLUMNS], *rate)
        self._task = bars.add_task(name, total=total)

    def advance(self, amount: int = 1) -> None:
        if self._bars is not None and self._task is not None:
            self._bars.advance(self._task, amount)

    def close(self) -> None:
        if self._bars is not None:
            if self._task is not None:
                self._bars.remove_task(self._task)
            self._bars.stop()
        self._bars = self._task = None

    def _started(self) -> RichProgress:
        if self._bars is None:
            from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn

            from mlship.cli.terminal import console

            columns = (
                SpinnerColumn(),
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TaskProgressColumn(),
            )
            self._bars = Progress(*columns, console=console(sys.stderr), transient=True)
            self._bars.start()
        return self._bars


def choose(*, silent: bool) -> Shown:
    """The right one for this run."""
    if silent:
        return Nothing()
    return Bars() if fancy(sys.stderr) or in_notebook() else Lines()
