"""Collections that never pause while many push, and what killed pushers leave to them."""

from __future__ import annotations

import multiprocessing
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sample_bundle import make_bundle
from sample_kills import check_everything_published, killed_at
from sampling import Some

from mlship.registry import intents, open_registry
from mlship.registry.check import check
from mlship.registry.collect import collect
from mlship.registry.over_store import StoreRegistry, open_folder
from mlship.registry.transfer import copy

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

PUSHERS = 8
ROUNDS = {"dir": 60, "ssh": 20, "s3": 8, "azblob": 8}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The killed ones give no sign of life, so nobody has to wait long for one."""
    monkeypatch.setattr("mlship.registry.collect._PAUSE", 0.01)


def opened(url: str) -> StoreRegistry:
    registry: Any = open_registry(url)
    assert isinstance(registry, StoreRegistry)
    return registry


def _push(url: str, number: int, source: str, digests: list[str], end: Any, said: Any) -> None:
    registry, bundles, pushed = opened(url), open_folder(source), 0
    while not pushed or not end.is_set():
        digest = digests[(number + pushed) % len(digests)]
        copy(bundles, registry, "churn", digest, tag=f"p{number}")
        pushed += 1
    said.put((number, digest, pushed))


def _collect(url: str, rounds: int, end: Any) -> None:
    registry = opened(url)
    for _ in range(rounds):
        collect(registry)
    end.set()


@pytest.mark.kinds("store_url")
def test_no_push_loses_anything_to_a_collection_without_pause(
    tmp_path: Path, store_url: str, some: Some
) -> None:
    source = open_folder(f"dir://{tmp_path}/source")
    digests = [make_bundle(source, model=b"%d" % number) for number in range(4)]
    scheme = store_url.partition(":")[0]
    rounds = some.of(ROUNDS[scheme], cost=6)
    pushers = some.of(PUSHERS if scheme == "dir" else PUSHERS // 2, cost=4)
    context = multiprocessing.get_context("fork")
    said, end = context.Queue(), context.Event()
    work = [
        context.Process(target=_push, args=(store_url, number, source.url, digests, end, said))
        for number in range(pushers)
    ]
    work.append(context.Process(target=_collect, args=(store_url, rounds, end)))
    for process in work:
        process.start()
    told = [said.get(timeout=600) for _ in range(pushers)]
    for process in work:
        process.join(60)
        assert process.exitcode == 0
    print(f"{scheme}: {sum(pushed for _, _, pushed in told)} pushes, {rounds} collections")
    target = opened(store_url)
    assert target.tags("churn") == {f"p{number}": digest for number, digest, _ in told}
    collect(target)
    check_everything_published(target)
    assert check(target).damage == ()


def test_what_killed_pushers_left_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_folder(f"dir://{tmp_path}/source")
    digest = make_bundle(source)
    registry = open_folder(f"dir://{tmp_path}/target")
    points = 0
    while killed_at(2 * points + 1, partial(copy, source, registry, "churn", digest)):
        points += 1
    assert points > 5
    monkeypatch.setattr(intents, "LASTS", timedelta(0))
    collect(registry)
    assert list(registry.store.list("")) == []
