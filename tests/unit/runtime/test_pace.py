"""Which client counts as a slow reader, told from what was written for it and what it has not taken."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mlship_runtime.serving.limits import Limits
from mlship_runtime.serving.pace import Taking

LIMITS = Limits(write_time=30, rate=1000)
MEGA = 1_000_000


def looks(seconds: float, written: float, taken: float, start: int = 0) -> Iterator[tuple[float, int, int]]:
    """(time, bytes written, bytes waiting) four times a second; `written` and `taken` are bytes a second."""
    for number in range(int(seconds * 4)):
        now = 1 + number / 4
        so_far = start + int(written * (now - 1))
        yield now, so_far, so_far - min(so_far, int(taken * (now - 1)))


def ended(sight: Iterator[tuple[float, int, int]]) -> float | None:
    """When the client is ended, in seconds of the sight."""
    taking = Taking()
    return next((now - 1 for now, *bytes_ in sight if taking.late(now, *bytes_, LIMITS)), None)


@pytest.mark.parametrize(
    ("start", "taken", "when"),
    [
        (600, 0, 30.25),
        (600, 10, 30.25),
        (600, 30, None),
        (MEGA, 0, 30.25),
        (MEGA, 900, 30.25),
        (MEGA, 1010, None),
        (MEGA, MEGA, None),
    ],
)
def test_who_takes_less_than_the_rate_is_ended_in_time(start: int, taken: float, when: float | None) -> None:
    assert ended(looks(900, 0, taken, start)) == when


def test_a_rate_of_less_than_a_byte_in_that_time_is_one() -> None:
    taking, limits = Taking(), Limits(write_time=0.2, rate=1)
    assert not taking.late(1.0, 600, 600, limits)
    assert taking.late(1.3, 600, 600, limits)


@pytest.mark.parametrize("behind", [1, 600, 29_000])
def test_who_always_has_something_under_way_is_not(behind: int) -> None:
    """A client that asks without a pause, over a long line: at each look some bytes are on their way."""
    sight = ((1 + number / 4, 700 * number + behind, behind) for number in range(10_000))
    assert ended(sight) is None


def test_asking_for_more_does_not_count_as_taking() -> None:
    assert ended(looks(900, 100, 0, start=1)) == 30.25


def test_a_client_that_has_taken_all_begins_anew() -> None:
    taking = Taking()
    for hour in range(5):
        at = 3600.0 * hour
        assert not taking.late(at + 1, 1000 * hour + 600, 600, LIMITS)
        assert not taking.late(at + 30, 1000 * hour + 600, 600, LIMITS)
        assert not taking.late(at + 31, 1000 * hour + 600, 0, LIMITS)
    assert not taking.late(at + 3000, 5600, 600, LIMITS)
