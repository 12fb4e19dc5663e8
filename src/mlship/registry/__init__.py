"""Registries: bundles by digest, tags by name; found by the scheme of their URL."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlship.store.scheme import absolute, find_opener

if TYPE_CHECKING:
    from mlship.registry.protocol import Registry

GROUP = "mlship.registries"


def open_registry(url: str, root: Path | None = None) -> Registry:
    """The registry at `url`; a relative path in it (`dir://./registry`) is taken from `root`.

    Nothing is written or asked for. Raises UsageError for a scheme that nobody knows.
    """
    registry: Registry = find_opener(GROUP, url)(absolute(url, root))
    return registry
