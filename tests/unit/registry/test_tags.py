"""Tags: their moves, and their marks, which are right whoever is killed where."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from mlship.errors import TagMovedError
from mlship.registry.protocol import Listed
from mlship.registry.tags import KEPT, Tags
from mlship.store.folder import FolderStore

FIRST, SECOND = "sha256:" + "1" * 64, "sha256:" + "2" * 64


@pytest.fixture
def tags(tmp_path: Path) -> Tags:
    return Tags(FolderStore(f"dir://{tmp_path}/registry"))


def test_moves_are_remembered(tags: Tags) -> None:
    one = tags.set("churn", "prod", FIRST, None, "build")
    tags.set("churn", "prod", SECOND, one, "dir:///elsewhere")
    first, second = tags.moves("churn", "prod")
    assert (first.digest, first.source, second.digest, second.source) == (
        FIRST,
        "build",
        SECOND,
        "dir:///elsewhere",
    )
    assert "@" in first.by
    assert first.at <= second.at
    assert tags.moves("churn", "other") == []


def test_only_the_last_moves_are_kept(tags: Tags) -> None:
    now = None
    for number in range(KEPT + 5):
        now = tags.set("churn", "prod", FIRST, now, str(number))
    assert [move.source for move in tags.moves("churn", "prod")] == [str(n) for n in range(5, KEPT + 5)]


class Counting:
    """A Store that counts how often values are read."""

    def __init__(self, inner: FolderStore) -> None:
        self.inner, self.read = inner, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def get(self, key: str) -> Any:
        self.read += 1
        return self.inner.get(key)


def test_listing_many_reads_no_values(tags: Tags) -> None:
    for number in range(40):
        tags.set(f"b{number}", "1.0", FIRST, None)
    store = Counting(tags.store)  # type: ignore[arg-type]
    assert len(list(Tags(store).listed())) == 40  # type: ignore[arg-type]
    assert store.read == 0


class Killed(Exception):
    """Stands for kill -9: whoever moves the tag goes no further."""


class Mortal:
    """A Store whose user is killed before the n-th change."""

    def __init__(self, inner: FolderStore, last: int) -> None:
        self.inner, self.left = inner, last

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)
        if name not in ("write_if_absent", "write_if_match", "delete_if_match"):
            return found

        def change(*args: Any) -> Any:
            if self.left == 0:
                raise Killed
            self.left -= 1
            return found(*args)

        return change


_folders = itertools.count()


class Movers(RuleBasedStateMachine):
    """Several move, remove and make one tag, each with what it has read some time ago, and some are killed.
    A listing says the same as the tag itself, always."""

    folder: Path

    @initialize()
    def start(self) -> None:
        self.tags = Tags(FolderStore(f"dir://{self.folder}/{next(_folders)}"))
        self.known: list[Any] = [None]

    @rule(
        digest=st.sampled_from([FIRST, SECOND]),
        which=st.integers(0, 3),
        last=st.sampled_from([0, 1, 2, 3, 99]),
    )
    def move(self, digest: str, which: int, last: int) -> None:
        tags = Tags(Mortal(self.tags.store, last))  # type: ignore[arg-type]
        try:
            self.known.append(tags.set("churn", "prod", digest, self.known[-1 - which % len(self.known)]))
        except TagMovedError:
            self.known.append(self.tags.read("churn", "prod"))
        except Killed:
            pass

    @rule(last=st.sampled_from([0, 1, 99]))
    def remove(self, last: int) -> None:
        now = self.tags.read("churn", "prod")
        if now is None:
            return
        try:
            Tags(Mortal(self.tags.store, last)).delete("churn", "prod", now)  # type: ignore[arg-type]
        except Killed:
            return
        self.known.append(None)

    @rule()
    def sweep(self) -> None:
        for key in list(self.tags.stale_marks()):
            stat = self.tags.store.stat(key)
            assert stat is not None
            self.tags.store.delete_if_match(key, stat.version)

    @invariant()
    def listing_is_right(self) -> None:
        now = self.tags.read("churn", "prod")
        assert list(self.tags.listed()) == ([Listed("churn", "prod", now.digest)] if now else [])


@pytest.fixture
def movers(tmp_path: Path) -> type[Movers]:
    Movers.folder = tmp_path
    return Movers


def test_a_listing_is_right_whoever_is_killed(movers: type[Movers]) -> None:
    run_state_machine_as_test(
        movers, settings=settings(max_examples=25, stateful_step_count=12, deadline=None)
    )


def test_a_removed_tag_leaves_no_mark(tags: Tags) -> None:
    now = tags.set("churn", "prod", FIRST, None)
    tags.delete("churn", "prod", now)
    assert list(tags.store.list("marks/")) == []
