"""`mlship gc`: removes bundles that no tag names, and content that no bundle has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlship.errors import UsageError
from mlship.ops.context import Context
from mlship.result import Result

if TYPE_CHECKING:
    from mlship.registry.over_store import StoreRegistry


class Removed(Result, frozen=True, kw_only=True):
    """What one registry was freed of."""

    registry: str
    bundles: tuple[str, ...]
    blobs: int
    bytes: int


class Swept(Result, frozen=True, kw_only=True):
    """`dry_run`: nothing was removed, it only would be."""

    dry_run: bool
    registries: tuple[Removed, ...]


def gc(
    ctx: Context, registry: str | None = None, *, dry_run: bool = False, keep_untagged: bool = False
) -> Swept:
    """Collect `registry`; None is the default one and, in a project, what the project has built.

    Safe while others push. Raises LockedError if somebody else collects, BundleError if a manifest there
    cannot be read (nothing is removed then).
    """
    done = [_collect(ctx, place, dry_run, keep_untagged) for place in collectable(ctx, registry)]
    return Swept(dry_run=dry_run, registries=tuple(done))


def collectable(ctx: Context, registry: str | None) -> list[StoreRegistry]:
    """The registries meant by `registry`. One that cleans up by itself is left out, with a warning; raises
    UsageError if there is no other."""
    from mlship.registry.over_store import StoreRegistry

    places = [ctx.registry(registry)]
    if registry is None and ctx.project is not None:
        places.insert(0, ctx.build_registry())
    found = [place for place in places if isinstance(place, StoreRegistry)]
    if not found:
        raise UsageError(
            f"{places[-1].url} keeps its content by its own means", fix="Use the tools of that registry"
        )
    if len(found) < len(places):
        ctx.warnings.append(f"{places[-1].url} was left alone: it keeps its content by its own means")
    return found


def _collect(ctx: Context, registry: StoreRegistry, dry_run: bool, keep_untagged: bool) -> Removed:
    from mlship.registry.collect import collect, preview

    if dry_run:
        done = preview(registry, keep_untagged=keep_untagged)
    else:
        done = collect(registry, keep_untagged=keep_untagged, progress=ctx.progress)
    return Removed(registry=registry.url, bundles=done.bundles, blobs=done.blobs, bytes=done.bytes)
