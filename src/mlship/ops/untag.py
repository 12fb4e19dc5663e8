"""`mlship untag`: takes a name away; the bundle stays until `mlship gc`."""

from __future__ import annotations

from mlship.errors import UsageError
from mlship.ops.context import Context
from mlship.registry import unknown
from mlship.result import Result


class Untagged(Result, frozen=True, kw_only=True):
    """`digest` is what the tag named; `tags` still name it."""

    reference: str
    digest: str
    registry: str
    tags: tuple[str, ...]


def untag(ctx: Context, ref: str) -> Untagged:
    """Remove the tag `ref` (NAME:TAG). Raises UsageError for a digest, RegistryError for an unknown tag,
    TagMovedError if somebody moves it meanwhile."""
    registry, reference = ctx.locate(ref)
    if reference.tag is None:
        raise UsageError(f"{ref} names no tag", fix="Write NAME:TAG")
    tagged = registry.read_tag(reference.name, reference.tag)
    if tagged is None:
        raise unknown.tag(registry, reference.name, reference.tag)
    registry.delete_tag(reference.name, reference.tag, tagged)
    others = registry.tags(reference.name)
    return Untagged(
        reference=str(reference),
        digest=tagged.digest,
        registry=registry.url,
        tags=tuple(tag for tag, digest in others.items() if digest == tagged.digest),
    )
