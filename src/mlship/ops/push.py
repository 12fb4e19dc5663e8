"""`mlship push`: copy a bundle to a registry."""

from __future__ import annotations

from mlship.ops.context import Context
from mlship.ops.copy import Copied, copy_bundle


def push(
    ctx: Context, ref: str | None = None, registry: str | None = None, *, rate: float | None = None
) -> Copied:
    """Copy `ref` (None = the last build, under its own tag) to `registry` (None = the default one).

    What this project built goes before what the default registry holds.
    """
    source, reference = ctx.locate(ref, own_first=True)
    tag = None if reference.digest else reference.tag_or_latest
    return copy_bundle(ctx, reference, source, ctx.registry(registry), tag=tag, verb="push", rate=rate)
