"""What a Store is: conditional key-value storage. Registries and ledgers stand on it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True)
class Stat:
    """`size` in bytes; `version` changes with the content (equal content may have an equal version)."""

    size: int
    version: str


class Store(Protocol):
    """Keys are parts of A-Z a-z 0-9 . _ - between slashes (none begins with a dot), 512 characters at most.

    Only RegistryError and, from the `chunks` given, their own errors come out. What was acknowledged survives
    a crash; what was interrupted was never there.
    """

    @property
    def url(self) -> str: ...

    def stat(self, key: str) -> Stat | None:
        """None if there is no such key."""
        ...

    def read(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The bytes from `start` on, `length` of them at most; RegistryError (at once or at the first chunk)
        if there is no such key."""
        ...

    def get(self, key: str) -> tuple[bytes, str] | None:
        """A small value (16 MiB at most) and its version; None if there is no such key."""
        ...

    def write_if_absent(self, key: str, chunks: Iterable[bytes], size: int | None = None) -> bool:
        """Write a value that never changes; False, and nothing done, if the key is there. A `size` given is
        compared with what came."""
        ...

    def write_if_match(self, key: str, data: bytes, version: str | None) -> str | None:
        """Write a small value (1 MiB at most) if its version still is `version` (None: if it is absent).

        The new version, or None if somebody else was faster.
        """
        ...

    def delete_if_match(self, key: str, version: str) -> bool:
        """Remove the key if its version still is `version`; False otherwise."""
        ...

    def list(self, prefix: str) -> Iterator[str]:
        """The keys that begin with `prefix`, sorted."""
        ...


@runtime_checkable
class Settles(Protocol):
    """A Store in which one may see what a crash would still take away, its writer having been killed."""

    def settle(self, keys: Collection[str]) -> None:
        """From here on a crash leaves these keys as they are now, there or not."""
        ...


def settle(store: Store, keys: Collection[str]) -> None:
    """`Settles.settle`, where that is needed: before something is written, or said, that relies on `keys`."""
    if isinstance(store, Settles):
        store.settle(keys)
