"""How often and how long something is tried again, and for how long one try may take."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from mlship.registry.oci.trouble import Passing

T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """Times in seconds. `connect` is for a connection, `silence` for a peer that neither takes nor gives a
    byte, `small` for a whole answer that is not a blob; a blob may come as slowly as `slowest` bytes a second
    over each `silence`. A server's Retry-After is kept, up to `longest`; beyond it the try is the last."""

    tries: int = 7
    first_pause: float = 0.25
    longest: float = 60.0
    connect: float = 10.0
    silence: float = 30.0
    small: float = 60.0
    slowest: int = 1024

    def repeat(self, work: Callable[[], T]) -> T:
        """The first result of `work`; what is not Passing comes out at once, a Passing one after the last
        try. Who was never reached is tried twice: a wrong name or port should not take long to be told."""
        for number in range(1, self.tries + 1):
            try:
                return work()
            except Passing as trouble:
                pause = self._pause(number, trouble)
                if number == self.tries or (not trouble.reached and number > 1) or pause > self.longest:
                    raise
            time.sleep(pause)
        raise AssertionError("no try at all")

    def _pause(self, number: int, trouble: Passing) -> float:
        if trouble.pause is not None:
            return trouble.pause
        pause: float = self.first_pause * 2 ** (number - 1)
        return pause * (0.5 + random.random() / 2)  # noqa: S311 - apart from others, not secret
