"""Each kind of cut once, at an offset of its own; tests/faults/test_cloud_cuts.py has them all."""

from __future__ import annotations

import random
import threading
from dataclasses import replace
from typing import Any

import pytest
from cloud_cuts import KINDS, read_cut_at, write_cut_at
from cloud_stores import HURRIED
from cutting_proxy import Cut

CLOUDS = pytest.mark.parametrize("cloud", ["s3", "azblob"], indirect=True)


@CLOUDS
@pytest.mark.parametrize("kind", KINDS)
def test_a_write_that_is_cut_goes_on(cloud: Any, kind: str) -> None:
    write_cut_at(cloud, 700_000 * (1 + KINDS.index(kind)), kind)


@CLOUDS
@pytest.mark.parametrize("kind", KINDS)
def test_a_read_that_is_cut_goes_on(cloud: Any, kind: str) -> None:
    read_cut_at(cloud, 500_000 * (1 + KINDS.index(kind)), kind)


@CLOUDS
def test_no_acknowledged_update_is_lost_where_answers_are(cloud: Any) -> None:
    """Six writers append to one value; of every fourth write the answer is lost, or it never arrives."""
    store = cloud.store(cloud.fresh(), patience=replace(HURRIED, attempts=30))
    chance = random.Random(4)
    cloud.proxy.cuts[:] = [
        Cut(
            chance.choice(("reset", "close", "503")),
            "PUT",
            "tags/prod",
            lose_answer=chance.random() < 0.7,
            skip=skip,
        )
        for skip in range(3, 120, 4)
    ]
    acknowledged: list[str] = []

    def append(writer: int) -> None:
        for number in range(8):
            while True:
                found = store.get("tags/prod")
                said = f"{writer}.{number}"
                data = f"{found[0].decode()} {said}" if found else said
                if store.write_if_match("tags/prod", data.encode(), found[1] if found else None) is not None:
                    acknowledged.append(said)
                    break

    threads = [threading.Thread(target=append, args=(writer,)) for writer in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    found = store.get("tags/prod")
    assert found is not None
    there = found[0].decode().split()
    assert len(acknowledged) == 6 * 8
    assert set(acknowledged) <= set(there)
    assert sum(cut.hit for cut in cloud.proxy.cuts) >= 10
