"""Stores: conditional key-value storage behind registries and ledgers, found by the scheme of their URL."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlship.store.scheme import absolute, find_opener

if TYPE_CHECKING:
    from mlship.store.protocol import Store

GROUP = "mlship.stores"


def open_store(url: str, root: Path | None = None) -> Store:
    """The Store at `url`; a relative path in it (`dir://./store`) is taken from `root`.

    Nothing is written or asked for. Raises UsageError for a scheme that nobody knows.
    """
    store: Store = find_opener(GROUP, url)(absolute(url, root))
    return store
