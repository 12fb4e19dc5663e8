"""Columns of records that are kept: as exact as they were read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from mlship_runtime.model.datatypes import Array
from mlship_runtime.records.exact import with_point


class WholeCells(Sequence[Any]):
    """Numbers without their point, of which `scale` digits stand behind it; `missing` has none."""

    def __init__(self, whole: Array, scale: int, missing: Array) -> None:
        self.whole, self.scale, self.missing = whole, scale, missing

    def __len__(self) -> int:
        return len(self.whole)

    def __getitem__(self, at: Any) -> Any:
        if self.missing[at]:
            return None
        whole = int(self.whole[at])
        return whole * 10**-self.scale if self.scale <= 0 else with_point(whole, self.scale)

    def __iter__(self) -> Iterator[Any]:
        return (self[at] for at in range(len(self)))

    def take(self, places: Sequence[int]) -> WholeCells:
        chosen = np.asarray(places, np.intp)
        return WholeCells(self.whole[chosen], self.scale, self.missing[chosen])

    def to_pylist(self) -> list[Any]:
        return list(self)
