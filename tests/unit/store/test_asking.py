"""Asking again: when, how often, how long."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from mlship.store import asking
from mlship.store.asking import Again, Declined, Patience, Trial, asked, seconds_of

PATIENCE = Patience(attempts=4, pause=1.0, longest=3.0, total=100.0)


class Clock:
    def __init__(self) -> None:
        self.now, self.slept = 0.0, []

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return datetime.now(UTC).timestamp()

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(asking, "time", clock)
    return clock


def failing(times: int, error: Exception) -> tuple[list[bool], object]:
    calls: list[bool] = []

    def call(unsure: bool) -> str:
        calls.append(unsure)
        if len(calls) <= times:
            raise error
        return "done"

    return calls, call


def test_pauses_grow_and_end(clock: Clock) -> None:
    calls, call = failing(9, OSError("gone"))
    with pytest.raises(OSError, match="gone"):
        asked(PATIENCE, lambda error: Again(), call)  # type: ignore[arg-type]
    assert calls == [False, True, True, True]
    assert len(clock.slept) == 3
    for slept, most in zip(clock.slept, (1.0, 2.0, 3.0), strict=True):
        assert most / 2 <= slept <= most


def test_it_helps_in_the_end(clock: Clock) -> None:
    calls, call = failing(3, OSError())
    assert asked(PATIENCE, lambda error: Again(), call) == "done"  # type: ignore[arg-type]
    assert len(calls) == 4


def test_what_the_server_asks_for_is_kept(clock: Clock) -> None:
    _, call = failing(1, OSError())
    assert asked(PATIENCE, lambda error: Again(after=20.0), call) == "done"  # type: ignore[arg-type]
    assert clock.slept == [20.0]


def test_nothing_begins_after_the_end(clock: Clock) -> None:
    _, call = failing(1, OSError("gone"))
    with pytest.raises(OSError, match="gone"):
        asked(PATIENCE, lambda error: Again(after=101.0), call)  # type: ignore[arg-type]
    assert clock.slept == []


def test_in_vain_and_once(clock: Clock) -> None:
    for verdict, expected in ((None, 1), (Again(once=True), 2)):
        calls, call = failing(9, OSError())
        with pytest.raises(OSError):
            asked(PATIENCE, lambda error, verdict=verdict: verdict, call)  # type: ignore[arg-type, misc]
        assert len(calls) == expected


def test_a_plain_no_is_not_asked_again(clock: Clock) -> None:
    calls, call = failing(9, Declined("absent"))
    with pytest.raises(Declined):
        asked(PATIENCE, lambda error: Again(), call)  # type: ignore[arg-type]
    assert len(calls) == 1


def test_what_goes_on_counts_anew(clock: Clock) -> None:
    trial = Trial(PATIENCE, lambda error: Again())
    for _ in range(20):
        trial.failed(OSError())
        trial.went_on()
    assert not trial.unsure
    trial.failed(OSError())
    assert trial.unsure


def test_retry_after_in_both_forms() -> None:
    assert seconds_of("3") == 3.0
    assert seconds_of("-1") == 0.0
    later = seconds_of(format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True))
    assert later is not None
    assert 50 < later <= 60
    assert seconds_of("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    for nothing in (None, "", "soon", "nan:nan"):
        assert seconds_of(nothing) is None
