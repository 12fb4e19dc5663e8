"""How often and how long a server of ours is asked again, and for how long one try may take."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from mlship.registry.oci.trouble import Passing
from mlship.store import asking

T = TypeVar("T")


@dataclass(frozen=True)
class Patience(asking.Patience):
    """As a store's, but that all tries may take any time: one of them may be hours of a blob. `small` is for
    a whole answer that is not a blob; a blob may come as slowly as `slowest` bytes a second over each
    `stall`. A server's Retry-After is kept, up to `longest`; beyond it the try is the last."""

    attempts: int = 7
    longest: float = 60.0
    total: float = math.inf
    small: float = 60.0
    slowest: int = 1024

    def repeat(self, work: Callable[[], T]) -> T:
        """The first result of `work`; what is not Passing comes out at once, a Passing one after the last
        try. Who was never reached is tried twice: a wrong name or port should not take long to be told."""
        return asking.asked(self, self._again, lambda _unsure: work())

    def _again(self, error: Exception) -> asking.Again | None:
        if not isinstance(error, Passing) or (error.pause or 0.0) > self.longest:
            return None
        return asking.Again(error.pause, once=not error.reached)
