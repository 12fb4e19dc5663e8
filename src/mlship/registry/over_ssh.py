"""What opens an `ssh://` URL as a registry. Nothing is connected before the first call."""

from __future__ import annotations

from mlship.host.ssh.url import open_store
from mlship.registry.over_store import StoreRegistry


def open_ssh(url: str) -> StoreRegistry:
    """The registry in a folder of a machine."""
    return StoreRegistry(open_store(url))
