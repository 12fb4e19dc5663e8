"""A Store in a folder (`dir:///srv/models`): that of the ground floor, with the errors of mlship."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from mlship.config.folders import data_dir
from mlship.errors import UsageError
from mlship.store.protocol import Stat
from mlship.store.trouble import as_registry_error
from mlship_runtime.store.folder import MAX_GET, SMALL, Folder

__all__ = ["MAX_GET", "SMALL", "FolderStore"]


class FolderStore:
    """The Store at a `dir://` URL with an absolute path. Not tied to a thread."""

    def __init__(self, url: str) -> None:
        scheme, _, path = url.partition("://")
        if scheme != "dir" or not path.startswith("/") or "\0" in path:
            raise UsageError(
                f"{url!r} is not the URL of a folder", fix="Write dir:///its/path or dir://./path"
            )
        self.root = Path(path)
        # ledgers and services are the user's alone
        self._folder = Folder(self.root, f"dir://{self.root}", private=data_dir())

    @property
    def url(self) -> str:
        return self._folder.url

    def stat(self, key: str) -> Stat | None:
        """See Store."""
        with as_registry_error():
            found = self._folder.stat(key)
        return Stat(*found) if found else None

    def read(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Chunks of at most 1 MiB; RegistryError if there is no such key."""
        with as_registry_error():
            yield from self._folder.read(key, start, length)

    def get(self, key: str) -> tuple[bytes, str] | None:
        """See Store."""
        with as_registry_error():
            return self._folder.get(key)

    def write_if_absent(self, key: str, chunks: Iterable[bytes], size: int | None = None) -> bool:
        """See Store; the chunks are not asked for if the key is there."""
        with as_registry_error():
            return self._folder.write_if_absent(key, chunks, size)

    def write_if_match(self, key: str, data: bytes, version: str | None) -> str | None:
        """See Store."""
        with as_registry_error():
            return self._folder.write_if_match(key, data, version)

    def delete_if_match(self, key: str, version: str) -> bool:
        """See Store. Folders that become empty stay."""
        with as_registry_error():
            return self._folder.delete_if_match(key, version)

    def settle(self, keys: Collection[str]) -> None:
        """See Settles."""
        with as_registry_error():
            self._folder.settle(keys)

    def list(self, prefix: str) -> Iterator[str]:
        """See Store; a key that comes or goes meanwhile may be in the list or not."""
        with as_registry_error():
            return self._folder.list(prefix)

    def file_of(self, key: str) -> Path | None:
        """The file that holds the value: to read, and never to change. None if there is no such key."""
        with as_registry_error():
            return self._folder.file_of(key)

    def adopt(self, key: str, source: Path) -> bool:
        """`write_if_absent` of a file's content, without copying where both lie on one file system.

        A file that somebody may write to is copied, as a second name would change with it.
        """
        with as_registry_error():
            return self._folder.adopt(key, source)
