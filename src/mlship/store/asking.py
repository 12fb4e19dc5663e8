"""How a store behind a network is asked: again where that may help, and never for ever.

What an error means is the store's own knowledge (its Judge); when to ask again and when to give up is the
same for all of them.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TypeVar

T = TypeVar("T")
_CHANCE = random.SystemRandom()


@dataclass(frozen=True)
class Patience:
    """Seconds. No attempt begins after `total`; one that runs ends when nothing comes for `stall`."""

    attempts: int = 6
    pause: float = 0.25  # after the first failure; doubles
    longest: float = 20.0  # pause that is chosen here; the server may ask for more
    connect: float = 10.0
    stall: float = 30.0
    total: float = 120.0


@dataclass(frozen=True)
class Again:
    """Asking again may help: `after` so many seconds where the server says so; `once` if only once."""

    after: float | None = None
    once: bool = False


Judge = Callable[[Exception], Again | None]


class Declined(Exception):
    """The server's plain no, which the store understands: `absent`, `condition`, `range`, `upload`.

    `unsure`: an attempt before this one may have been carried out, its answer was lost.
    """

    def __init__(self, why: str, *, unsure: bool = False) -> None:
        super().__init__(why)
        self.why, self.unsure = why, unsure


class Trial:
    """The attempts at one thing."""

    def __init__(self, patience: Patience, judge: Judge) -> None:
        self._patience, self._judge = patience, judge
        self.went_on()

    @property
    def unsure(self) -> bool:
        return self._failures > 0

    def went_on(self) -> None:
        """Something came: begin to count anew."""
        self._failures, self._began = 0, time.monotonic()

    def failed(self, error: Exception) -> None:
        """Wait until it may be tried again; raises `error` where that is in vain."""
        again = self._judge(error)
        self._failures += 1
        attempts = 2 if again and again.once else self._patience.attempts
        if again is None or self._failures >= attempts:
            raise error
        pause = min(self._patience.longest, self._patience.pause * 2 ** (self._failures - 1))
        pause = max(pause * _CHANCE.uniform(0.5, 1.0), again.after or 0.0)
        if time.monotonic() - self._began + pause > self._patience.total:
            raise error
        time.sleep(pause)


def asked(patience: Patience, judge: Judge, call: Callable[[bool], T]) -> T:
    """What `call(unsure)` returns; called again while its errors allow it, then the last one comes out."""
    trial = Trial(patience, judge)
    while True:
        try:
            return call(trial.unsure)
        except Exception as error:
            if isinstance(error, Declined):
                raise
            trial.failed(error)


def seconds_of(retry_after: str | None) -> float | None:
    """What a Retry-After header asks for: seconds, or a date; None if it says nothing that can be read."""
    if not retry_after:
        return None
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        return _until(retry_after)


def _until(date: str) -> float | None:
    try:
        return max(0.0, parsedate_to_datetime(date).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
