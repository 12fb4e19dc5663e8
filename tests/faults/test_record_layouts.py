"""Ten thousand layouts made by chance: every value comes back, and the same bytes are written again."""

from __future__ import annotations

import pytest
from record_round_trip import check_round_trip
from sampling import Some

pytestmark = pytest.mark.faults

LOTS, LAYOUTS = range(10), 1000  # of so many layouts each
CHEAP = 0.1  # a layout, beside the points of other tables


@pytest.mark.parametrize("lot", LOTS)
def test_every_value_of_every_layout_comes_back(lot: int, some: Some) -> None:
    for seed in some.among(range(lot * LAYOUTS, (lot + 1) * LAYOUTS), cost=CHEAP):
        check_round_trip(seed)
