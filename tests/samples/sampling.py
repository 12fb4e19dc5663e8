"""How much of a table of faults runs: all of it, or with `--sample N --seed S` some of every kind."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import pytest

T = TypeVar("T")


@dataclass(frozen=True)
class Some:
    """What one test takes of its own table. `most` is the N of --sample, 0 for all."""

    most: int
    seed: str

    def of(self, count: int, cost: float = 1) -> int:
        """How often something that is to be done `count` times is done; the more it costs, the less often."""
        return min(count, max(1, int(self.most / cost))) if self.most else count

    def stride(self, cost: int = 1) -> int:
        """How far it is to the next of points that are gone through without knowing how many there are."""
        return max(1, 10 * cost) if self.most else 1

    def among(self, points: Sequence[T], cost: float = 1) -> list[T]:
        """Some of `points`, in their order."""
        numbers = random.Random(self.seed).sample(range(len(points)), self.of(len(points), cost))
        return [points[number] for number in sorted(numbers)]


def some_steps(some: Some, most: int) -> Sequence[int]:
    """Where a deploy of the conformance kit is killed: everywhere, or at a few of its `most` steps."""
    return some.among(range(1, most + 1), cost=4) if some.most else range(1, 400)


def one_of_each(items: list[pytest.Item], seed: str) -> list[pytest.Item]:
    """Of every test function one item; of one that is marked `kinds(NAME, ...)` one for all values of these
    parameters."""
    groups: dict[tuple[object, ...], list[pytest.Item]] = {}
    for item in items:
        marker = item.get_closest_marker("kinds")
        call = getattr(item, "callspec", None)
        kinds = [str(call.params[name]) for name in marker.args] if marker and call else []
        groups.setdefault((item.nodeid.partition("[")[0], *kinds), []).append(item)
    chance = random.Random(seed)
    kept = {id(chance.choice(group)) for group in groups.values()}
    return [item for item in items if id(item) in kept]
