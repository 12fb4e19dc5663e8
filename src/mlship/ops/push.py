"""`mlship push`: copy a bundle to a registry."""

from __future__ import annotations

from mlship.ops.context import Context
from mlship.ops.copy import Copied, copy_bundle
from mlship.reference import check_tag


def push(
    ctx: Context,
    ref: str | None = None,
    registry: str | None = None,
    *,
    tag: str | None = None,
    rate: float | None = None,
) -> Copied:
    """Copy `ref` (None = the last build) to `registry` (None = the default one), under `tag` (None = its
    own).

    What this project built goes before what the default registry holds.
    """
    if tag is not None:
        check_tag(tag)
    source, reference = ctx.locate(ref, own_first=True)
    if tag is None and not reference.digest:
        tag = reference.tag_or_latest
    return copy_bundle(ctx, reference, source, ctx.registry(registry), tag=tag, verb="push", rate=rate)
