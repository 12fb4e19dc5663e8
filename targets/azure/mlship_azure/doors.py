"""What opens an `azblob://` URL. Nothing is asked for, and azure-* not imported, before the first call."""

from __future__ import annotations

from mlship.registry.over_store import StoreRegistry
from mlship_azure.store import AzureStore


def open_registry(url: str) -> StoreRegistry:
    """The registry in a container."""
    return StoreRegistry(AzureStore(url))
