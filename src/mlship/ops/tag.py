"""`mlship tag`: another name for a bundle that is in a registry."""

from __future__ import annotations

from mlship.ops.context import Context
from mlship.reference import Reference, check_tag
from mlship.result import Result


class Tagged(Result, frozen=True, kw_only=True):
    """`before` is the digest that the tag named until now, if it was there."""

    reference: str
    digest: str
    before: str | None
    registry: str


def tag(ctx: Context, ref: str, new_tag: str) -> Tagged:
    """Let `new_tag` name what `ref` stands for. Raises TagMovedError if somebody else moves it."""
    from mlship.registry.transfer import move_tag

    registry, reference = ctx.locate(ref)
    digest = registry.resolve(reference)
    name = reference.name
    expected = registry.read_tag(name, check_tag(new_tag))
    move_tag(registry, name, new_tag, digest, expected, str(reference))
    return Tagged(
        reference=str(Reference(name, tag=new_tag)),
        digest=digest,
        before=expected.digest if expected else None,
        registry=registry.url,
    )
