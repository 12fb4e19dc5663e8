"""A registry of 500 bundles is listed with a request for each hundred of them, at most."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from many_bundles import MADE, MOST, published

from mlship.ops.list import _entries
from mlship.registry.over_store import StoreRegistry
from mlship.store.asking import Patience


class Counted:
    """A store in memory that counts its requests as S3 does: one for each 1000 keys of a list."""

    url = "memory://here"

    def __init__(self) -> None:
        self.values: dict[str, tuple[bytes, str]] = {}
        self.requests = 0

    def list(self, prefix: str) -> Iterator[str]:
        found = sorted(key for key in self.values if key.startswith(prefix))
        self.requests += 1 + len(found) // 1000
        return iter(found)

    def get(self, key: str) -> tuple[bytes, str] | None:
        self.requests += 1
        return self.values.get(key)

    def write_if_absent(self, key: str, chunks: Iterable[bytes], size: int | None = None) -> bool:
        self.values.setdefault(key, (b"".join(chunks), "1"))
        return True

    def write_if_match(self, key: str, data: bytes, version: str | None) -> str:
        self.values[key] = (data, str(len(self.values)))
        return self.values[key][1]

    def stat(self, key: str) -> None:
        self.requests += 1


def check(registry: StoreRegistry, requests: Callable[[], int]) -> None:
    """`requests` gives those since it was asked last."""
    requests()
    listed = _entries("there", registry)
    assert [(one.name, one.digest, one.tags) for one in listed] == [
        (name, f"sha256:{digits}", ("1.0",)) for name, digits in MADE
    ]
    assert requests() <= MOST
    assert registry.names() == [name for name, _ in MADE]
    assert requests() <= MOST
    name, digits = MADE[7]
    assert registry.tags(name) == {"1.0": f"sha256:{digits}"}
    assert requests() <= 2
    assert [move.digest for move in registry.moves(name, "1.0")] == [f"sha256:{digits}"]
    assert requests() <= 2


def test_any_store() -> None:
    store = Counted()
    registry = StoreRegistry(store)  # type: ignore[arg-type]
    published(registry)

    def requests() -> int:
        before, store.requests = store.requests, 0
        return before

    check(registry, requests)


@pytest.mark.faults
@pytest.mark.timeout(300)
@pytest.mark.parametrize("cloud", ["s3", "azblob"], indirect=True)
def test_the_clouds(cloud: Any) -> None:
    """Through a proxy that counts."""
    registry = StoreRegistry(cloud.store(cloud.fresh(), patience=Patience()))
    published(registry)

    def requests() -> int:
        before = len(cloud.proxy.seen)
        cloud.proxy.seen.clear()
        return before

    check(registry, requests)
