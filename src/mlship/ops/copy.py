"""Bundles from one registry to another: what `copy`, `push` and `pull` are."""

from __future__ import annotations

from collections.abc import Sequence

from mlship.errors import UsageError
from mlship.ops.context import Context
from mlship.reference import Reference
from mlship.registry.protocol import Registry
from mlship.result import Result


class Copied(Result, frozen=True, kw_only=True):
    """What moved: blobs and bytes that were sent, those that were there already, and what is attached.
    `absent` are the layers of other platforms that were left out."""

    reference: str
    digest: str
    source: str
    destination: str
    sent_blobs: int
    sent_bytes: int
    present_blobs: int
    present_bytes: int
    sent_attachments: int
    absent: tuple[str, ...] = ()


def copy_bundle(
    ctx: Context,
    reference: Reference,
    source: Registry,
    destination: Registry,
    *,
    tag: str | None,
    verb: str = "copy",
    platforms: Sequence[str] = (),
    rate: float | None = None,
) -> Copied:
    """Copy what is missing (with `platforms`, of these only), then the manifest, then set `tag` (None: none),
    with at most `rate` bytes per second.

    Raises RegistryError, UsageError for a platform that the bundle has not, and PolicyError where `verb` may
    not take it there."""
    from mlship.ops.crossing import registry_passage
    from mlship.registry.over_store import StoreRegistry
    from mlship.registry.transfer import copy

    digest = source.resolve(reference)
    done = copy(
        source,
        destination,
        reference.name,
        digest,
        tag=tag,
        platforms=platforms,
        partial=destination if platforms and isinstance(destination, StoreRegistry) else None,
        progress=ctx.progress,
        rate=rate,
        passing=lambda manifest: registry_passage(
            ctx, verb, source, destination, reference.name, digest, manifest
        ).open(),
    )
    named = Reference(reference.name, tag=tag) if tag else Reference(reference.name, digest=digest)
    return Copied(
        reference=str(named),
        digest=digest,
        source=source.url,
        destination=destination.url,
        sent_blobs=done.sent_blobs,
        sent_bytes=done.sent_bytes,
        present_blobs=done.present_blobs,
        present_bytes=done.present_bytes,
        sent_attachments=done.sent_attachments,
        absent=done.absent,
    )


class Mirrored(Result, frozen=True, kw_only=True):
    """What was copied, bundle by bundle."""

    bundles: tuple[Copied, ...]


def copy(ctx: Context, what: str, registry: str, *, rate: float | None = None) -> Mirrored:
    """Copy a bundle (`[REGISTRY/]NAME[:TAG|@DIGEST]`), or every tag of a registry (its name or URL), to
    `registry`, of any kind. Raises UsageError, RegistryError, BundleError."""
    from mlship.registry.listing import listed

    destination = ctx.registry(registry)
    if not ctx.is_registry(what):
        source, reference = ctx.locate(what)
        references = [reference]
    else:
        source = ctx.registry(what)
        references = [Reference(name, tag=tag) for name, tag, _ in listed(source) if tag]
    if source.url == destination.url:
        raise UsageError(f"{what} is in {destination.url} already", fix="Name another registry")
    return Mirrored(
        bundles=tuple(
            copy_bundle(
                ctx, one, source, destination, tag=None if one.digest else one.tag_or_latest, rate=rate
            )
            for one in references
        )
    )
