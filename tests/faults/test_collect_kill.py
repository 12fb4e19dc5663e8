"""Collections that are killed at every change of the disk, and that never pause while many push."""

from __future__ import annotations

import multiprocessing
import time
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sample_bundle import make_bundle
from sample_kills import check_everything_published, killed_at

from mlship.registry import intents
from mlship.registry.check import check
from mlship.registry.collect import collect, preview
from mlship.registry.over_store import StoreRegistry, open_folder
from mlship.registry.transfer import copy

pytestmark = pytest.mark.faults

PUSHERS = 8
SECONDS = 20.0


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The killed ones give no sign of life, so nobody has to wait long for one."""
    monkeypatch.setattr(intents, "PATIENCE", 0.05)
    monkeypatch.setattr("mlship.registry.collect._PAUSE", 0.01)


def test_killed_anywhere_the_next_one_finishes(tmp_path: Path) -> None:
    source = open_folder(f"dir://{tmp_path}/source")
    kept, gone = make_bundle(source), make_bundle(source, model=b"old")
    source.attach("churn", gone, "application/x", b"of the old one")
    point = 0
    while True:
        point += 1
        registry = open_folder(f"dir://{tmp_path}/{point}")
        copy(source, registry, "churn", gone, tag="1.0")
        copy(source, registry, "churn", kept, tag="1.0")
        killed = killed_at(point, partial(collect, registry))
        assert registry.tags("churn") == {"1.0": kept}
        copy(source, registry, "churn", kept, tag="2.0")
        collect(registry)
        check_everything_published(registry)
        assert check(registry).damage == ()
        assert registry.digests("churn") == [kept]
        assert preview(registry).blobs == 0
        assert not list(registry.store.list("collection"))
        if not killed:
            break
    assert point > 20


def _push(url: str, number: int, source: str, digests: list[str], end: float, said: Any) -> None:
    registry, bundles, pushed = open_folder(url), open_folder(source), 0
    while time.monotonic() < end:
        for digest in digests:
            copy(bundles, registry, "churn", digest, tag=f"p{number}")
            pushed += 1
    said.put((number, digest, pushed))


def _collect(url: str, end: float, said: Any) -> None:
    registry, rounds = open_folder(url), 0
    while time.monotonic() < end:
        collect(registry)
        rounds += 1
    said.put((-1, "", rounds))


def test_no_push_loses_anything_to_a_collection_without_pause(tmp_path: Path) -> None:
    source = open_folder(f"dir://{tmp_path}/source")
    digests = [make_bundle(source, model=b"%d" % number) for number in range(4)]
    target = open_folder(f"dir://{tmp_path}/target")
    context = multiprocessing.get_context("fork")
    said, end = context.Queue(), time.monotonic() + SECONDS
    work = [
        context.Process(
            target=_push,
            args=(target.url, n, source.url, digests[n % 4 :] + digests[: n % 4], end, said),
        )
        for n in range(PUSHERS)
    ]
    work.append(context.Process(target=_collect, args=(target.url, end, said)))
    for process in work:
        process.start()
    told = {number: (digest, count) for number, digest, count in (said.get(timeout=120) for _ in work)}
    for process in work:
        process.join(30)
        assert process.exitcode == 0
    assert told.pop(-1)[1] > 5, "too few collections to say anything"
    assert sum(count for _, count in told.values()) > PUSHERS * 4
    assert target.tags("churn") == {f"p{number}": digest for number, (digest, _) in told.items()}
    collect(target)
    check_everything_published(target)
    assert check(target).damage == ()


def test_what_killed_pushers_left_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_folder(f"dir://{tmp_path}/source")
    digest = make_bundle(source)
    registry: StoreRegistry = open_folder(f"dir://{tmp_path}/target")
    points = 0
    while killed_at(2 * points + 1, partial(copy, source, registry, "churn", digest)):
        points += 1
    assert points > 5
    monkeypatch.setattr(intents, "LASTS", timedelta(0))
    collect(registry)
    assert list(registry.store.list("")) == []
