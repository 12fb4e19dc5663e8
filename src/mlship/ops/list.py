"""`mlship list`: what bundles and tags a registry holds."""

from __future__ import annotations

from contextlib import suppress

from mlship.config.settings import DEFAULT_REGISTRY
from mlship.errors import RegistryError
from mlship.ops.context import Context
from mlship.reference import NAME, check_name
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
    if place is not None and "://" in place:
        return Listing(bundles=tuple(_at_url(ctx, place)))
    if place is not None and ctx.is_registry(place):
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


def _at_url(ctx: Context, url: str) -> list[Entry]:
    """The bundles of the registry at `url`; where that has none, those of a bundle that its end names."""
    refusal: RegistryError | None = None
    try:
        found = _entries(url, ctx.registry(url))
    except RegistryError as error:
        found, refusal = [], error
    above, _, name = url.rpartition("/")
    if not found and NAME.fullmatch(name) and not above.endswith("/"):
        with suppress(RegistryError):
            found = _entries(above, ctx.registry(above), name)
    if refusal is not None and not found:
        raise refusal
    return found


def _entries(label: str, registry: Registry, only: str | None = None) -> list[Entry]:
    from mlship.registry.listing import listed

    tags: dict[tuple[str, str], list[str]] = {}
    for name, tag, digest in listed(registry, only):
        tags.setdefault((name, digest), []).extend([tag] if tag else [])
    found = [
        Entry(registry=label, name=name, tags=tuple(sorted(names)), digest=digest)
        for (name, digest), names in tags.items()
    ]
    return sorted(found, key=lambda entry: (entry.name, not entry.tags, entry.tags, entry.digest))


class TagMove(Result, frozen=True, kw_only=True):
    """One move of a tag: what it named from then on, when (UTC), by whom, and where that came from."""

    registry: str
    reference: str
    digest: str
    at: str
    by: str
    source: str


class TagHistory(Result, frozen=True, kw_only=True):
    """Moves of tags, oldest first."""

    moves: tuple[TagMove, ...]


def tag_history(ctx: Context, place: str) -> TagHistory:
    """The moves of the tags of a bundle (`[REGISTRY/]NAME`) or of one tag (`[REGISTRY/]NAME:TAG`).

    Raises RegistryError for an unknown one, or a registry that does not keep them.
    """
    from mlship.registry.protocol import KeepsMoves

    registry, reference = ctx.locate(place)
    if not isinstance(registry, KeepsMoves):
        raise RegistryError(
            f"{registry.url} does not keep the moves of its tags", fix="See the log of that registry"
        )
    tags = [reference.tag] if reference.tag else list(registry.tags(reference.name))
    moves = [
        TagMove(
            registry=registry.url,
            reference=f"{reference.name}:{tag}",
            digest=move.digest,
            at=move.at,
            by=move.by,
            source=move.source,
        )
        for tag in tags
        for move in registry.moves(reference.name, tag)
    ]
    if not moves:
        raise RegistryError(f"no tag of {place} has moved", fix="mlship list shows the tags that there are")
    return TagHistory(moves=tuple(sorted(moves, key=lambda move: move.at)))
