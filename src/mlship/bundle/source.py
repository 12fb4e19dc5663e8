"""What a bundle is read from and written to; a registry is both."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from mlship.reference import Reference

MAX_ATTACHMENT = 48 << 20


@dataclass(frozen=True, order=True)
class Attachment:
    """Something said of a bundle beside it, so that its digest stays: a signature. `size` in bytes."""

    media_type: str
    digest: str
    size: int


class BundleSource(Protocol):
    """Where bundles lie by digest."""

    @property
    def url(self) -> str: ...

    def resolve(self, reference: Reference) -> str:
        """The digest that a reference names; RegistryError, with what there is instead, if it names none."""
        ...

    def read_manifest(self, name: str, digest: str) -> bytes:
        """The manifest's bytes, compared with `digest`; BundleError if they are others."""
        ...

    def read_blob(self, name: str, digest: str, size: int) -> Iterator[bytes]:
        """The blob as it is stored: whoever reads it checks it (`mlship.digest.checked`)."""
        ...

    def attachments(self, name: str, digest: str) -> list[Attachment]:
        """What is attached to the bundle `digest`, sorted; empty for an unknown one."""
        ...

    def read_attachment(self, name: str, attachment: Attachment) -> bytes:
        """Its content, compared with its digest; BundleError if it is another."""
        ...


@runtime_checkable
class KeepsParts(Protocol):
    """A source that may hold bundles of which some layers are not there."""

    def absent(self, name: str, digest: str) -> frozenset[str]:
        """The layers that the bundle was kept without, and that are still not there."""
        ...


@runtime_checkable
class HasFiles(Protocol):
    """A source whose blobs are files of this machine."""

    def file_of_blob(self, name: str, digest: str) -> Path | None:
        """The file of a blob, to read only; None if it is not a file here."""
        ...


class PartialSink(Protocol):
    """A sink that can also keep a bundle of which some layers are not there."""

    def write_partial_manifest(self, name: str, data: bytes, absent: frozenset[str]) -> str:
        """As `write_manifest`, but the layers `absent` may be missing, and it is remembered."""
        ...


class BundleSink(Protocol):
    """Where bundles go: the blobs first, then the manifest."""

    @property
    def url(self) -> str: ...

    def has_blob(self, name: str, digest: str) -> bool: ...

    def write_blob(self, name: str, digest: str, size: int, chunks: Iterable[bytes]) -> bool:
        """Store `chunks` under `digest`; BundleError, and nothing stored, if they are not its content.

        False if the blob was there already (the chunks are then not all read). Where a connection can break,
        `chunks` are gone through again; an iterator cannot be, and ends it then with RegistryError.
        """
        ...

    def write_manifest(self, name: str, data: bytes) -> str:
        """Publish a manifest whose blobs are all there, and return its digest; RegistryError names a blob
        that is missing, and nothing is published."""
        ...


class AttachmentSink(BundleSink, Protocol):
    """A sink that also keeps what is said beside a bundle."""

    def attachments(self, name: str, digest: str) -> list[Attachment]:
        """As `BundleSource.attachments`."""
        ...

    def attach(self, name: str, digest: str, media_type: str, data: bytes) -> Attachment:
        """Keep `data` (MAX_ATTACHMENT bytes at most) beside the bundle `digest`, unless it is kept already;
        RegistryError if there is no such manifest."""
        ...


@runtime_checkable
class Announced(Protocol):
    """A sink out of which unused content is collected, but not what somebody has announced."""

    def announced(self, name: str, manifest: str, blobs: Collection[str]) -> AbstractContextManager[None]:
        """While this lasts, the manifest and the blobs (digests) stay, whatever else is removed."""
        ...


def announced(
    sink: BundleSink, name: str, manifest: str, blobs: Collection[str]
) -> AbstractContextManager[None]:
    """Protect what is being written from collection, where the sink has one."""
    if isinstance(sink, Announced):
        return sink.announced(name, manifest, blobs)
    return nullcontext()
