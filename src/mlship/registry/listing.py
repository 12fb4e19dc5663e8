"""Everything that a registry holds, by as few requests as it can do it with."""

from __future__ import annotations

from collections.abc import Iterator

from mlship.registry.protocol import Listed, ListsAtOnce, Registry


def listed(registry: Registry, name: str | None = None) -> list[Listed]:
    """Every manifest and every tag, of one bundle or of all."""
    if isinstance(registry, ListsAtOnce):
        return registry.listed(name)
    names = registry.names() if name is None else [name]
    return [found for one in names for found in _of(registry, one)]


def _of(registry: Registry, name: str) -> Iterator[Listed]:
    for digest in registry.digests(name):
        yield Listed(name, "", digest)
    for tag, digest in registry.tags(name).items():
        yield Listed(name, tag, digest)
