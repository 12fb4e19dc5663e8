"""Copies one bundle from one registry to another: push, pull and mirroring are this.

Blobs first, then the manifest, what is attached to it, and the tag: whatever interrupts it, what is published
is whole, what a tag names is signed as it was, and a repeat sends only what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from mlship.bundle.exchange.layout import carried, chosen
from mlship.bundle.fault import as_bundle_error, damage_placed
from mlship.bundle.source import HasFiles, KeepsParts, PartialSink, announced
from mlship.errors import RegistryError, TagMovedError, UsageError
from mlship.progress import SILENT, Progress
from mlship.registry.flow import Flow
from mlship.registry.protocol import (
    BlobsMissingError,
    Mounts,
    Registry,
    Settles,
    Tagged,
    TakesFiles,
)
from mlship.result import Result
from mlship_runtime.bundle.manifest import Descriptor, Manifest, read_manifest

_PUBLISH_TRIES = 3

# Around the copy of a bundle: may forbid it, and is asked once more before it is published.
Passing = Callable[[Manifest], AbstractContextManager[Callable[[], object]]]


def free(manifest: Manifest) -> AbstractContextManager[Callable[[], object]]:
    """The passing that nobody watches."""
    return nullcontext(lambda: None)


class Copied(Result, frozen=True, kw_only=True):
    """What a copy sent and what was there before (or was mounted from a neighbour there); blobs count the
    config, not the manifest, nor what is attached (`sent_attachments`). `absent` are the titles of layers
    that were left out."""

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
    passing: Passing = free,
) -> Copied:
    """Copy the bundle `digest`, then let `tag` name it.

    With `platforms` the runtime layers of others are left out; `partial`, which is the destination, then
    keeps what is not whole. At most `rate` bytes are sent per second. `passing` may forbid it.

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
    with (
        passing(manifest) as still_may,
        announced(destination, name, digest, [blob.digest for blob in blobs]),
    ):
        flow = Flow(progress, rate)
        absent = _absent(destination, name, blobs, flow)
        missing = [blob for blob in absent if blob.digest in wanted]
        left_out = [blob for blob in absent if blob.digest not in wanted]
        _refuse_absent(source, name, digest, missing)
        sent = _copy_blobs(source, destination, name, missing, flow)
        still_may()
        if left_out and partial is not None:
            partial.write_partial_manifest(name, data, frozenset(blob.digest for blob in left_out))
        else:
            sent += _publish(source, destination, name, data, blobs, flow)
        attached = _copy_attachments(source, destination, name, digest)
        if tag:
            move_tag(destination, name, tag, digest, before, source.url)
    there = [blob for blob in blobs if blob not in sent and blob not in left_out]
    return Copied(
        digest=digest,
        sent_blobs=len(sent),
        sent_bytes=sum(blob.size for blob in sent),
        sent_attachments=attached,
        present_blobs=len(there),
        present_bytes=sum(blob.size for blob in there),
        absent=tuple(blob.title for blob in left_out),
    )


def _absent(destination: Registry, name: str, blobs: Sequence[Descriptor], flow: Flow) -> list[Descriptor]:
    """The blobs that are not there, in their order."""
    flow.begin(f"checking {name}", len(blobs), unit="items")
    found: set[str] = set()

    def ask(blob: Descriptor) -> None:
        if not destination.has_blob(name, blob.digest):
            found.add(blob.digest)
        flow.advance(1)

    flow.each(ask, blobs)
    return [blob for blob in blobs if blob.digest in found]


def _publish(
    source: Registry, destination: Registry, name: str, data: bytes, blobs: Sequence[Descriptor], flow: Flow
) -> list[Descriptor]:
    """Write the manifest. Blobs that were removed there since we looked are sent (again), and returned."""
    sent: list[Descriptor] = []
    for _ in range(_PUBLISH_TRIES):
        try:
            destination.write_manifest(name, data)
        except BlobsMissingError:
            missing = _absent(destination, name, blobs, flow)
            sent += _copy_blobs(source, destination, name, missing, flow)
        else:
            return sent
    destination.write_manifest(name, data)
    return sent


def _copy_blobs(
    source: Registry, destination: Registry, name: str, blobs: Sequence[Descriptor], flow: Flow
) -> list[Descriptor]:
    """Bring `blobs` over; those that were sent, and not mounted."""
    if not blobs:
        return []
    doing = "sending" if _taken(source, destination, name, blobs[0]) is None else "hashing"
    flow.begin(f"{doing} {name}", sum(blob.size for blob in blobs))
    sent: list[Descriptor] = []

    def move(blob: Descriptor) -> None:
        if isinstance(destination, Mounts) and destination.mount_blob(name, blob.digest, source):
            flow.advance(blob.size)
            return
        _copy_blob(source, destination, name, blob, flow)
        sent.append(blob)

    flow.each(move, sorted(blobs, key=lambda blob: -blob.size))  # no large one is left alone at the end
    return sent


def _copy_blob(source: Registry, destination: Registry, name: str, blob: Descriptor, flow: Flow) -> None:
    with damage_placed(source.url, blob):
        file = _taken(source, destination, name, blob)
        if file is not None and isinstance(destination, TakesFiles):
            destination.adopt_blob(name, blob.digest, blob.size, file)
            flow.advance(blob.size)
            return
        content = flow.content(lambda: source.read_blob(name, blob.digest, blob.size))
        destination.write_blob(name, blob.digest, blob.size, content)


def _taken(source: Registry, destination: Registry, name: str, blob: Descriptor) -> Path | None:
    """The file of `blob`, if the destination takes it as it is."""
    if isinstance(source, HasFiles) and isinstance(destination, TakesFiles) and destination.takes_files:
        return source.file_of_blob(name, blob.digest)
    return None


def _copy_attachments(source: Registry, destination: Registry, name: str, digest: str) -> int:
    there = set(destination.attachments(name, digest))
    if isinstance(destination, Settles):  # its content may have been removed there, being damaged
        there = {found for found in there if destination.has_blob(name, found.digest)}
    missing = [found for found in source.attachments(name, digest) if found not in there]
    for attachment in missing:
        data = source.read_attachment(name, attachment)
        destination.attach(name, digest, attachment.media_type, data)
    if isinstance(destination, Settles):
        destination.settle(name, digest, None)
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
        if isinstance(registry, Settles):
            registry.settle(name, digest, tag)
        return
    try:
        registry.set_tag(name, tag, digest, before, source=source)
    except TagMovedError:
        now = registry.read_tag(name, tag)
        if now is None or now.digest != digest:  # the same push by somebody else is no conflict
            raise
