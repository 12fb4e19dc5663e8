"""Where a service's ledger is kept: where mlship.toml says, else where its adapter does."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

from mlship.store import open_store
from mlship.store.protocol import Store
from mlship.target.ledger import Ledger
from mlship.target.protocol import Adapter


@runtime_checkable
class KeepsLedger(Protocol):
    """An adapter that keeps the ledger beside the releases, over the connection that it has."""

    def ledger_store(self) -> Store:
        """The store at `ledger_url`."""
        ...

    def clear_ledger(self) -> None:
        """Remove what an erased ledger has left, if no other service has one there."""
        ...


def open_ledger(adapter: Adapter, root: Path | None = None) -> Ledger:
    """The ledger of the adapter's service; `root` is the project's folder, for a URL relative to it."""
    return Ledger(store_of(adapter, root), f"{adapter.place.name}/{adapter.place.service}")


def store_of(adapter: Adapter, root: Path | None = None) -> Store:
    if adapter.place.ledger is None and isinstance(adapter, KeepsLedger):
        return adapter.ledger_store()
    return open_store(adapter.place.ledger or adapter.ledger_url(), root=root)


def clear_ledger(adapter: Adapter) -> None:
    """After a purge: nothing of a ledger is left that the adapter keeps itself."""
    if adapter.place.ledger is None and isinstance(adapter, KeepsLedger):
        adapter.clear_ledger()
