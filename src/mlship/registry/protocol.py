"""What a registry is: it keeps bundles by digest, which never change, and tags by name, which move."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from mlship.bundle.source import AttachmentSink, BundleSource
from mlship.errors import RegistryError
from mlship.result import Result


@dataclass(frozen=True)
class Tagged:
    """What a tag names, and the version of that: what `set_tag` compares."""

    digest: str
    version: str


class Move(Result, frozen=True, kw_only=True):
    """One move of a tag: to which digest, when (UTC), by whom (user@host), and where it came from."""

    digest: str
    at: str
    by: str
    source: str = ""


class Listed(NamedTuple):
    """A manifest (`tag` is empty) or a tag of a bundle."""

    name: str
    tag: str
    digest: str


class BlobsMissingError(RegistryError):
    """A manifest was not published as blobs of it are not there; they may have been a moment ago."""


class Registry(BundleSource, AttachmentSink, Protocol):
    """A published digest is fully readable or absent; an acknowledged write survives a crash.

    RegistryError and BundleError come out, and nothing foreign.
    """

    def names(self) -> list[str]:
        """The bundles that have a manifest or a tag, sorted."""
        ...

    def tags(self, name: str) -> dict[str, str]:
        """Digest by tag, sorted by tag; empty for an unknown name."""
        ...

    def digests(self, name: str) -> list[str]:
        """The manifests of `name`, sorted; empty for an unknown name. Where a registry cannot list them,
        those that a tag names."""
        ...

    def has_manifest(self, name: str, digest: str) -> bool:
        """Whether the bundle `digest` is published under `name`, with a tag or without."""
        ...

    def read_tag(self, name: str, tag: str) -> Tagged | None:
        """None if there is no such tag."""
        ...

    def set_tag(
        self, name: str, tag: str, digest: str, expected: Tagged | None, *, source: str = ""
    ) -> Tagged:
        """Move `tag` if it still is as `expected` (None: absent); TagMovedError if somebody was faster,
        RegistryError if there is no manifest `digest`. `source` is where the bundle came from."""
        ...

    def delete_tag(self, name: str, tag: str, expected: Tagged) -> None:
        """Remove `tag` if it still is as `expected`; TagMovedError otherwise."""
        ...


@runtime_checkable
class ListsAtOnce(Protocol):
    """A registry that lists many bundles by few requests."""

    def listed(self, name: str | None = None) -> list[Listed]:
        """Every manifest and every tag, of one bundle or of all."""
        ...


@runtime_checkable
class KeepsMoves(Protocol):
    """A registry that remembers where its tags were."""

    def moves(self, name: str, tag: str) -> list[Move]:
        """The last moves of a tag, oldest first; empty if there is no such tag."""
        ...


@runtime_checkable
class Settles(Protocol):
    """A registry in which one may see what a crash would still take back (see store.protocol.Settles)."""

    def settle(self, name: str, digest: str, tag: str | None) -> None:
        """From here on a crash leaves the tag and what is attached to the bundle as they are now."""
        ...


@runtime_checkable
class TakesFiles(Protocol):
    """A registry that can take a file of this machine without copying it, where `takes_files` says so."""

    @property
    def takes_files(self) -> bool: ...

    def adopt_blob(self, name: str, digest: str, size: int, file: Path) -> bool:
        """`write_blob` of a file, hashed before it is taken."""
        ...


@runtime_checkable
class Mounts(Protocol):
    """A registry in which a blob of one bundle can be given to another without being sent."""

    def mount_blob(self, name: str, digest: str, source: BundleSource) -> bool:
        """Let `name` have the blob if the registry is known to keep it elsewhere; False if it has to be sent.
        `source` is where it would be sent from."""
        ...
