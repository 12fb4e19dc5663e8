"""kill -9 at every system call of the commands that changes something: what can be seen is whole, a repeat
completes the work."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sample_bundle import make_bundle
from sample_kills import all_named
from sampling import Some
from strace_kills import Point, kill_at, points

from mlship.ops.context import Context
from mlship.ops.copy import copy
from mlship.ops.gc import gc
from mlship.ops.promote import promote
from mlship.ops.pull import pull
from mlship.ops.push import push
from mlship.registry.collect import preview
from mlship.registry.flow import Flow
from mlship.registry.over_store import StoreRegistry, open_folder
from mlship.registry.transfer import copy as copy_bundle

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

AT_LEAST = 500  # points in all
PROJECT = '[project]\nname = "churn"\n[model]\nsource = "m"\n'
PLACES = ("registry", "project/.mlship/store")


def at(root: Path, place: str) -> str:
    return f"dir://{root}/{place}"


def a_source(root: Path) -> tuple[StoreRegistry, str, str]:
    """A registry with a signed bundle under 1.0 and another one under 2.0."""
    source = open_folder(at(root, "source"))
    first, second = make_bundle(source), make_bundle(source, model=b"another")
    source.attach("churn", first, "application/x", b"signed")
    source.set_tag("churn", "1.0", first, None)
    source.set_tag("churn", "2.0", second, None)
    return source, first, second


def full(root: Path) -> None:
    """The registry has what the source has, and something that no tag names any more."""
    source, first, second = a_source(root)
    registry = open_folder(at(root, "registry"))
    old = make_bundle(registry, model=b"old")
    registry.attach("churn", old, "application/x", b"of the old one")
    for digest, tag in ((second, "1.0"), (first, "1.0"), (second, "2.0")):
        copy_bundle(source, registry, "churn", digest, tag=tag)


def older(root: Path) -> None:
    source, _, second = a_source(root)
    copy_bundle(source, open_folder(at(root, "registry")), "churn", second, tag="1.0")


def do_push(root: Path) -> None:
    push(Context(), f"{at(root, 'source')}/churn:1.0", at(root, "registry"))


def do_push_bytes(root: Path) -> None:
    """As from where its files cannot be linked."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StoreRegistry, "file_of_blob", lambda *_: None)
        do_push(root)


def do_pull(root: Path, *platforms: str) -> None:
    (root / "project").mkdir(exist_ok=True)
    (root / "project" / "mlship.toml").write_text(PROJECT)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root / "project")
        pull(Context.here(), "churn:1.0", at(root, "registry"), platforms=platforms)


WORKS: dict[str, tuple[Callable[[Path], object], Callable[[Path], object]]] = {
    "push": (a_source, do_push),
    "push bytes": (a_source, do_push_bytes),
    "push over an older one": (older, do_push_bytes),
    "pull": (full, do_pull),
    "pull a platform": (full, lambda root: do_pull(root, "linux/amd64")),
    "copy all": (a_source, lambda root: copy(Context(), at(root, "source"), at(root, "registry"))),
    "promote": (full, lambda root: promote(Context(), f"{at(root, 'registry')}/churn:1.0", "prod")),
    "promote over": (full, lambda root: promote(Context(), f"{at(root, 'registry')}/churn:1.0", "2.0")),
    "gc": (full, lambda root: gc(Context(), at(root, "registry"))),
}


class Work:
    """One of WORKS: where it begins, where it ends, and the points between."""

    def __init__(self, name: str, folder: Path) -> None:
        prepare, self.do = WORKS[name]
        self.begin, self.folder = folder / "begin", folder
        folder.mkdir()
        prepare(self.begin)
        self.do(self.begun("warm"))  # what it imports is there from now on
        self.before, self.after = self.look(self.begin), self.look(folder / "warm")
        counted = self.begun("counted")
        self.points = points(lambda: self.do(counted), folder / "log")

    def begun(self, name: str) -> Path:
        root = self.folder / name
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(self.begin, root, copy_function=os.link)
        return root

    def look(self, root: Path) -> dict[str, Any]:
        return {
            **all_named(root, PLACES),
            "digests": [open_folder(at(root, x)).digests("churn") for x in PLACES],
        }

    def killed_at(self, point: Point) -> None:
        root = self.begun("killed")
        kill_at(point, lambda: self.do(root))
        found = self.look(root)
        for name in {*self.before, *self.after, *found} - {"digests"}:
            assert found.get(name) in (self.before.get(name), self.after.get(name)), (point, name)
        self.do(root)
        assert self.look(root) == self.after, point


@pytest.fixture(scope="module")
def work_of(memory: Path, require: Callable[[str], None]) -> Iterator[Any]:
    """`work_of("push")`: the work, its points counted."""
    require("strace")
    works: dict[str, Work] = {}

    def of(name: str) -> Work:
        if name not in works:
            works[name] = Work(name, memory / name)
        return works[name]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Flow, "each", lambda self, work, items: [work(item) for item in items])  # one order
        patch.setattr("mlship.registry.intents.PATIENCE", 0.02)
        patch.setattr("mlship.registry.collect._PAUSE", 0.005)
        yield of


@pytest.mark.kinds("name")
@pytest.mark.parametrize("name", WORKS)
def test_killed_anywhere(work_of: Callable[[str], Work], name: str, some: Some) -> None:
    work = work_of(name)
    chosen = some.among(work.points, cost=3)
    print(f"{name}: {len(chosen)} of {len(work.points)} points")
    for point in chosen:
        work.killed_at(point)


def test_the_table_is_long(work_of: Callable[[str], Work]) -> None:
    counts = {name: len(work_of(name).points) for name in WORKS}
    print(f"{sum(counts.values())} points: {counts}")
    assert sum(counts.values()) >= AT_LEAST


def test_a_repeated_collection_leaves_nothing_to_collect(work_of: Callable[[str], Work], some: Some) -> None:
    work = work_of("gc")
    for point in some.among(work.points[::5], cost=3):
        root = work.begun("killed")
        kill_at(point, lambda: work.do(root))  # noqa: B023
        work.do(root)
        registry = open_folder(at(root, "registry"))
        assert preview(registry).blobs == 0
        assert not list(registry.store.list("collection"))
