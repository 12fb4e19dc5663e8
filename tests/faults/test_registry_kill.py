"""kill -9 at every call that changes the disk: what is published is whole, a repeat completes the copy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sample_bundle import make_bundle
from sample_kills import Streaming, check_everything_published, killed_at

from mlship.registry.over_store import StoreRegistry, open_folder
from mlship.registry.protocol import Registry
from mlship.registry.transfer import copy

pytestmark = pytest.mark.faults


@pytest.fixture
def source(tmp_path: Path) -> StoreRegistry:
    return open_folder(f"dir://{tmp_path}/source")


def sweep(
    folder: Path, source: Registry, prepare: Callable[[StoreRegistry], None], digest: str
) -> Iterator[int]:
    """Kill a copy at point 1, 2, …, each into a fresh registry, until one completes."""
    point = 0
    while True:
        point += 1
        target = open_folder(f"dir://{folder}/{point}")
        prepare(target)
        before = target.tags("churn")
        killed = killed_at(point, partial(copy, source, target, "churn", digest, tag="1.0"))
        target = open_folder(target.url)  # as a later command would find it
        check_everything_published(target)
        if killed:
            assert target.tags("churn") in (before, {"1.0": digest})
        signed = target.attachments("churn", digest) == source.attachments("churn", digest)
        assert signed or target.tags("churn") == before, "a tag names what is not signed yet"
        copy(source, target, "churn", digest, tag="1.0")
        assert target.tags("churn") == {"1.0": digest}
        check_everything_published(target)
        if not killed:
            return
        yield point


@pytest.mark.parametrize("way", ["files", "streams"])
def test_first_push(tmp_path: Path, source: StoreRegistry, way: str) -> None:
    digest = make_bundle(source)
    seen: Any = source if way == "files" else Streaming(source)
    points = list(sweep(tmp_path, seen, lambda target: None, digest))
    assert len(points) > (40 if way == "files" else 60)


def test_push_over_an_older_version(tmp_path: Path, source: StoreRegistry) -> None:
    old, new = make_bundle(source), make_bundle(source, model=b"new model")

    def prepare(target: StoreRegistry) -> None:
        copy(source, target, "churn", old, tag="1.0")

    streaming: Any = Streaming(source)
    points = list(sweep(tmp_path, streaming, prepare, new))
    assert len(points) > 20


def test_push_of_a_signed_bundle(tmp_path: Path, source: StoreRegistry) -> None:
    digest = make_bundle(source)
    for data in (b"one signature", b"another"):
        source.attach("churn", digest, "application/vnd.example+json", data)
    points = list(sweep(tmp_path, source, lambda target: None, digest))
    assert len(points) > 50
