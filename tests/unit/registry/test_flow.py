"""Streams side by side: their common rate, their common end."""

from __future__ import annotations

import threading
import time

import pytest

from mlship.registry import flow as module
from mlship.registry.flow import AT_ONCE, Flow, Stopped


def test_a_few_at_once_and_all_done() -> None:
    running, most, lock, done = 0, 0, threading.Lock(), []

    def work(item: int) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.01)
        with lock:
            running -= 1
            done.append(item)

    Flow().each(work, range(20))
    assert sorted(done) == list(range(20))
    assert 1 < most <= AT_ONCE


def test_the_first_failure_ends_the_others_and_is_told() -> None:
    flow, ended = Flow(), []
    everybody = threading.Barrier(3)

    def work(item: int) -> None:
        everybody.wait(10)
        if item == 0:
            raise ValueError("the first")
        try:
            for _ in flow.through(iter(lambda: (time.sleep(0.01), b"x")[1], b"")):
                pass
        except Stopped:
            ended.append(item)
            raise

    with pytest.raises(ValueError, match="the first"):
        flow.each(work, range(3))
    assert sorted(ended) == [1, 2]


def test_nothing_more_is_begun_after_a_failure() -> None:
    begun = []

    def work(item: int) -> None:
        begun.append(item)
        raise ValueError("this one")

    with pytest.raises(ValueError, match="this one"):
        Flow().each(work, range(100))
    assert len(begun) < 100


def test_the_rate_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that stands still, the pauses alone say how fast it goes."""
    monkeypatch.setattr(module.time, "monotonic", lambda: 100.0)
    flow = Flow(rate=1000)
    assert [flow._pause(size) for size in (500, 500, 2000, 1)] == [0.0, 0.5, 1.0, 3.0]
    assert Flow()._pause(1 << 30) == 0.0
