"""`mlship list`: what bundles and tags a registry holds."""

from __future__ import annotations

from mlship.config.settings import DEFAULT_REGISTRY
from mlship.errors import RegistryError
from mlship.ops.context import Context
from mlship.reference import check_name
from mlship.registry.protocol import Registry
from mlship.result import Result

OWN = "this project"


class Entry(Result, frozen=True, kw_only=True):
    """A bundle in a registry; `tags` is empty for one that no tag names any more."""

    registry: str
    name: str
    tags: tuple[str, ...]
    digest: str


class Listing(Result, frozen=True, kw_only=True):
    """Bundles, by registry, name, and tag."""

    bundles: tuple[Entry, ...]


def list_bundles(ctx: Context, place: str | None = None) -> Listing:
    """List a registry (its name or URL), one bundle (`[REGISTRY/]NAME`), or all that is near at hand (None).

    Near at hand are the default registry and this project's builds. Raises RegistryError for an unknown NAME.
    """
    if place is not None and _is_registry(ctx, place):
        return Listing(bundles=tuple(_entries(place, ctx.registry(place))))
    if place is not None and "/" in place:
        registry, _, wanted = place.rpartition("/")
        return _found(wanted, _entries(registry, ctx.registry(registry), check_name(wanted)))
    name = check_name(place) if place is not None else None
    found = _entries(DEFAULT_REGISTRY, ctx.registry(), name)
    if ctx.project is not None:
        found = [*_entries(OWN, ctx.build_registry(), name), *found]
    return _found(name, found)


def _found(name: str | None, entries: list[Entry]) -> Listing:
    if name is not None and not entries:
        raise RegistryError(f"there is no bundle {name!r}", fix="mlship list shows those that there are")
    return Listing(bundles=tuple(entries))


def _is_registry(ctx: Context, place: str) -> bool:
    return (
        "://" in place
        or place == DEFAULT_REGISTRY
        or (ctx.project is not None and place in ctx.project.registries)
    )


def _entries(label: str, registry: Registry, only: str | None = None) -> list[Entry]:
    found = []
    for name in sorted(registry.names()):
        if only is not None and name != only:
            continue
        tags: dict[str, list[str]] = {digest: [] for digest in registry.digests(name)}
        for tag, digest in registry.tags(name).items():
            tags.setdefault(digest, []).append(tag)
        found += [
            Entry(registry=label, name=name, tags=tuple(sorted(names)), digest=digest)
            for digest, names in tags.items()
        ]
    return sorted(found, key=lambda entry: (entry.name, not entry.tags, entry.tags, entry.digest))
