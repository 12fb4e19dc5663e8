"""Cutting into parts, and sending a few of them at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlship.store.parts import Lanes, LengthError, cut, measured, part_size


@given(st.lists(st.binary(max_size=30)), st.integers(1, 20))
def test_cut_keeps_every_byte_at_its_place(chunks: list[bytes], part: int) -> None:
    pieces = list(cut(chunks, part))
    data = b"".join(chunks)
    assert b"".join(pieces) == data
    assert all(len(piece) == part for piece in pieces[:-1])
    assert len(pieces) == max(1, -(-len(data) // part))
    assert len(pieces[-1]) > 0 or not data


def test_parts_grow_with_what_has_many() -> None:
    assert part_size(None, 10, 8) == 8
    assert part_size(80, 10, 8) == 8
    assert part_size(81, 10, 8) == 16
    assert part_size(1 << 40, 10_000) * 10_000 >= 1 << 40


def test_measured() -> None:
    assert list(measured([b"12", b"3"], "k", 3)) == list(measured([b"12", b"3"], "k", None)) == [b"12", b"3"]
    with pytest.raises(LengthError, match="3 bytes came for k where 4 were announced"):
        list(measured([b"123"], "k", 4))


def test_results_come_in_order_and_few_are_held() -> None:
    taken = most = 0

    def work(number: int) -> int:
        return number

    def jobs() -> Iterator[Callable[[], int]]:
        nonlocal taken, most
        for number in range(50):
            taken += 1
            most = max(most, taken - len(results))
            yield partial(work, number)

    results: list[int] = []
    for result in Lanes(4).in_order(jobs()):
        results.append(result)  # noqa: PERF402  (its length is looked at on the way)
    assert results == list(range(50))
    assert most <= 4 + 1


def test_the_first_error_ends_it() -> None:
    began: list[int] = []

    def work(number: int) -> int:
        began.append(number)
        if number == 2:
            raise OSError("third")
        return number

    with pytest.raises(OSError, match="third"):
        list(Lanes(2).in_order(partial(work, number) for number in range(100)))
    assert len(began) <= 6


def test_all_transfers_together_keep_to_the_lanes() -> None:
    lanes, lock = Lanes(3), threading.Lock()
    now = most = 0

    def work() -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.002)
        with lock:
            now -= 1

    def transfer() -> None:
        for _ in range(3):
            list(lanes.in_order(work for _ in range(10)))
            with pytest.raises(ZeroDivisionError):
                list(lanes.in_order(1 // 0 if number == 4 else work for number in range(9)))

    threads = [threading.Thread(target=transfer) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert most == 3
    assert [lanes._free.acquire(blocking=False) for _ in range(4)] == [True, True, True, False]
