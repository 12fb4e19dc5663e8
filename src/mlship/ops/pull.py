"""`mlship pull`: copy a bundle from a registry to where this project keeps its own."""

from __future__ import annotations

from collections.abc import Sequence

from mlship.errors import UsageError
from mlship.ops.context import Context
from mlship.ops.copy import Copied, copy_bundle
from mlship.reference import parse_reference


def pull(
    ctx: Context,
    ref: str,
    registry: str | None = None,
    *,
    platforms: Sequence[str] = (),
    rate: float | None = None,
) -> Copied:
    """Copy `[REGISTRY/]NAME[:TAG|@DIGEST]` from `registry` (None = default) to this project's own store.

    Outside of a project it goes to the default registry. Raises UsageError if that is where it comes from.
    With `platforms` the runtime of others is left out, which only a project's own store can keep.
    """
    if platforms and ctx.project is None:
        raise UsageError(
            "a bundle of some platforms can only be kept in a project",
            fix="Go to a project's folder, or leave --platform out",
        )
    place, slash, rest = ref.rpartition("/")
    if slash and registry is not None:
        raise UsageError(f"{ref} names a registry, and {registry} is another", fix="Name one")
    reference = parse_reference(rest)
    source = ctx.registry(place if slash else registry)
    destination = ctx.build_registry() if ctx.project is not None else ctx.registry()
    if source.url == destination.url:
        raise UsageError(
            f"{reference} is to be pulled from where it would go",
            fix="Name a registry: mlship pull REF REGISTRY",
        )
    tag = None if reference.digest else reference.tag_or_latest
    return copy_bundle(
        ctx, reference, source, destination, tag=tag, verb="pull", platforms=platforms, rate=rate
    )
