"""Copies one bundle from one registry to another: push, pull and mirroring are this.

Blobs first, then the manifest, what is attached to it, and the tag: whatever interrupts it, what is published
is whole, what a tag names is signed as it was, and a repeat sends only what is missing.
"""

from __future__ import annotations

from collections.abc import Sequence

from mlship.bundle.fault import as_bundle_error, damage_placed
from mlship.bundle.layout import carried, chosen
from mlship.bundle.source import KeepsParts, PartialSink, announced
from mlship.errors import RegistryError, TagMovedError, UsageError
from mlship.progress import SILENT, Progress
from mlship.registry.flow import Flow
from mlship.registry.protocol import HasFiles, Registry, Tagged, TakesFiles
from mlship.result import Result
from mlship_runtime.bundle.manifest import Descriptor, read_manifest


class Copied(Result, frozen=True, kw_only=True):
    """What a copy sent and what was there before; blobs count the config, not the manifest, nor what is
    attached (`sent_attachments`). `absent` are the titles of layers that were left out."""

    digest: str
    sent_blobs: int
    sent_bytes: int
    present_blobs: int
    present_bytes: int
    sent_attachments: int = 0
    absent: tuple[str, ...] = ()


def copy(
    source: Registry,
    destination: Registry,
    name: str,
    digest: str,
    *,
    tag: str | None = None,
    platforms: Sequence[str] = (),
    partial: PartialSink | None = None,
    progress: Progress = SILENT,
    rate: float | None = None,
) -> Copied:
    """Copy the bundle `digest`, then let `tag` name it.

    With `platforms` the runtime layers of others are left out; `partial`, which is the destination, then
    keeps what is not whole. At most `rate` bytes are sent per second.

    Raises BundleError, with nothing published, if the source is damaged; TagMovedError if somebody moves the
    tag meanwhile; RegistryError for the rest.
    """
    before = destination.read_tag(name, tag) if tag else None
    data = source.read_manifest(name, digest)
    with as_bundle_error():
        manifest = read_manifest(data)
    if platforms and partial is None:
        raise UsageError(f"{destination.url} keeps whole bundles only", fix="Leave the platforms out")
    blobs = list({blob.digest: blob for blob in manifest.blobs}.values())
    wanted = {blob.digest for blob in carried(manifest, chosen(manifest, platforms))}
    with announced(destination, name, digest, [blob.digest for blob in blobs]):
        flow = Flow(progress, rate)
        absent = _absent(destination, name, blobs, flow)
        missing = [blob for blob in absent if blob.digest in wanted]
        left_out = [blob for blob in absent if blob.digest not in wanted]
        _refuse_absent(source, name, digest, missing)
        progress.phase(f"copying {name}", sum(blob.size for blob in missing), unit="bytes")
        flow.each(lambda blob: _copy_blob(source, destination, name, blob, flow), missing)
        if left_out and partial is not None:
            partial.write_partial_manifest(name, data, frozenset(blob.digest for blob in left_out))
        else:
            destination.write_manifest(name, data)
        attached = _copy_attachments(source, destination, name, digest)
        if tag:
            move_tag(destination, name, tag, digest, before, source.url)
    return Copied(
        digest=digest,
        sent_blobs=len(missing),
        sent_bytes=sum(blob.size for blob in missing),
        sent_attachments=attached,
        present_blobs=len(blobs) - len(absent),
        present_bytes=sum(blob.size for blob in blobs if blob not in absent),
        absent=tuple(blob.title for blob in left_out),
    )


def _absent(destination: Registry, name: str, blobs: Sequence[Descriptor], flow: Flow) -> list[Descriptor]:
    """The blobs that are not there, in their order."""
    found: set[str] = set()

    def ask(blob: Descriptor) -> None:
        if not destination.has_blob(name, blob.digest):
            found.add(blob.digest)

    flow.each(ask, blobs)
    return [blob for blob in blobs if blob.digest in found]


def _copy_blob(source: Registry, destination: Registry, name: str, blob: Descriptor, flow: Flow) -> None:
    if isinstance(source, HasFiles) and isinstance(destination, TakesFiles):
        file = source.file_of_blob(name, blob.digest)
        if file is not None:
            with damage_placed(source.url, blob):
                destination.adopt_blob(name, blob.digest, blob.size, file)
            flow.advance(blob.size)
            return
    chunks = flow.through(source.read_blob(name, blob.digest, blob.size))
    with damage_placed(source.url, blob):
        destination.write_blob(name, blob.digest, blob.size, chunks)


def _copy_attachments(source: Registry, destination: Registry, name: str, digest: str) -> int:
    there = set(destination.attachments(name, digest))
    missing = [found for found in source.attachments(name, digest) if found not in there]
    for attachment in missing:
        data = source.read_attachment(name, attachment)
        destination.attach(name, digest, attachment.media_type, data)
    return len(missing)


def _refuse_absent(source: Registry, name: str, digest: str, missing: list[Descriptor]) -> None:
    absent = source.absent(name, digest) if isinstance(source, KeepsParts) else frozenset()
    lacking = [blob.title for blob in missing if blob.digest in absent]
    if lacking:
        raise RegistryError(
            f"{name} cannot be sent from {source.url}: it lacks {', '.join(lacking)}",
            cause="it was imported or pulled for some platforms only",
            fix="Send it from where it is whole",
        )


def move_tag(
    registry: Registry, name: str, tag: str, digest: str, before: Tagged | None, source: str
) -> None:
    """Let `tag` name `digest`, which came from `source`, unless it does so already; TagMovedError if it names
    something else by now."""
    if before and before.digest == digest:
        return
    try:
        registry.set_tag(name, tag, digest, before, source=source)
    except TagMovedError:
        now = registry.read_tag(name, tag)
        if now is None or now.digest != digest:  # the same push by somebody else is no conflict
            raise
