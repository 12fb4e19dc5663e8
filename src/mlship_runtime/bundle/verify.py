"""Whether an unpacked bundle is what its index says: every file with its hash, and nothing else."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

from mlship_runtime.bundle.hashing import Hasher
from mlship_runtime.bundle.spec import FileEntry
from mlship_runtime.bundle.tree import BundleTree
from mlship_runtime.bundle.ustar import CHUNK
from mlship_runtime.errors import InvalidBundle

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def verify_tree(tree: BundleTree) -> None:
    """Verify all layers that are unpacked; raises InvalidBundle that names the first file at fault.

    The root of a file system (the bundle is in a container image) holds more than the bundle: there only the
    bundle's own folders are looked at."""
    by_root: dict[str, list[FileEntry]] = {}
    for digest, root in tree.roots.items():
        by_root.setdefault(os.path.realpath(root), []).extend(tree.spec.files[digest])
    for root, entries in by_root.items():
        verify_layer(root, entries, alone=root != os.sep)


def verify_layer(root: str, entries: Iterable[FileEntry], *, alone: bool = True) -> None:
    """Compare the folder `root` with `entries`; raises InvalidBundle for a file that is missing, added or
    changed, for links and what is no regular file, and for folders that nothing needs. Unless the layer is
    `alone` there, what stands beside its topmost folders is not looked at."""
    expected = {entry.path: entry for entry in entries}
    own = None if alone else {path.partition("/")[0] for path in expected}
    folders = {path[:end] for path in expected for end in _slashes(path)}
    try:
        fd = os.open(root, _FOLDER)
        try:
            _verify_folder(fd, "", expected, folders, own)
        finally:
            os.close(fd)
    except OSError as error:
        raise InvalidBundle(f"{root} cannot be read", cause=error.strerror or str(error)) from error
    if expected:
        raise InvalidBundle(f"{min(expected)!a} is missing", cause=f"somebody removed it from {root}")


def _slashes(path: str) -> Iterable[int]:
    return (index for index, char in enumerate(path) if char == "/")


def _verify_folder(
    fd: int, place: str, expected: dict[str, FileEntry], folders: set[str], own: set[str] | None = None
) -> None:
    """Take what is right out of `expected`; `own` are the only names to look at (None: all)."""
    with os.scandir(fd) as found:
        names = sorted(entry.name for entry in found if own is None or entry.name in own)
    for name in names:
        path = place + name
        status = os.stat(name, dir_fd=fd, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode) and path in folders:
            below = os.open(name, _FOLDER, dir_fd=fd)
            try:
                _verify_folder(below, path + "/", expected, folders)
            finally:
                os.close(below)
        elif path not in expected:
            raise InvalidBundle(f"{path!a} is not part of the bundle", cause="somebody added it")
        elif not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            raise InvalidBundle(f"{path!a} is a link or no regular file", cause="somebody exchanged it")
        else:
            _verify_file(fd, name, expected.pop(path))


def _verify_file(folder: int, name: str, entry: FileEntry) -> None:
    fd = os.open(name, _FILE, dir_fd=folder)
    try:
        hasher, size = Hasher(), 0
        while size <= entry.size:  # what grows while it is read must not hold us
            data = os.read(fd, CHUNK)
            if not data:
                break
            size += len(data)
            hasher.update(data)
    finally:
        os.close(fd)
    if size != entry.size or hasher.hexdigest() != entry.sha256:
        raise InvalidBundle(f"{entry.path!a} is not what the index says", cause="it was changed or damaged")
