"""`mlship fsck`: reads all that a registry holds, and fetches anew what is damaged."""

from __future__ import annotations

from mlship.ops.context import Context
from mlship.ops.gc import collectable
from mlship.registry.check import Damage
from mlship.registry.protocol import Registry
from mlship.result import Result


class Fsck(Result, frozen=True, kw_only=True):
    """`ok`: everything is as it should be now."""

    registry: str
    ok: bool
    bundles: int
    tags: int
    blobs: int
    bytes: int
    damage: tuple[Damage, ...]


class FsckReport(Result, frozen=True, kw_only=True):
    ok: bool
    registries: tuple[Fsck, ...]


def fsck(
    ctx: Context, registry: str | None = None, *, repair: bool = False, source: str | None = None
) -> FsckReport:
    """Read `registry` (None: the default one and what the project has built) to its last byte.

    With `repair`, bad or missing content is fetched from `source`, or else from the registries near at hand
    and those that mlship.toml names.
    """
    from mlship.registry.check import check

    found = []
    for place in collectable(ctx, registry):
        others = _others(ctx, place.url, source) if repair else []
        report = check(place, others, ctx.progress)
        found.append(
            Fsck(
                registry=place.url,
                ok=report.is_clean,
                bundles=report.bundles,
                tags=report.tags,
                blobs=report.blobs,
                bytes=report.bytes,
                damage=report.damage,
            )
        )
    return FsckReport(ok=all(one.ok for one in found), registries=tuple(found))


def _others(ctx: Context, url: str, source: str | None) -> list[Registry]:
    if source is not None:
        return [ctx.registry(source)]
    places = [ctx.registry()]
    if ctx.project is not None:
        places += [ctx.build_registry(), *(ctx.registry(name) for name in ctx.project.registries)]
    return [place for place in places if place.url != url]
