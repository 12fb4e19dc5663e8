"""The files that `mlship init` writes: all of them, or none."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from mlship.errors import ConfigError, UsageError
from mlship_runtime.files import write_atomic

_MODE = 0o644


def write_files(folder: Path, files: Mapping[Path, bytes], *, replace: bool = False, fix: str = "") -> None:
    """Write `files`, with `replace` also over those that are there.

    Raises UsageError, before anything is written, for what is in the way in `folder`, and ConfigError if it
    cannot be written: then what this has made is gone again.
    """
    if there := [path for path in files if os.path.lexists(path) and not (replace and _is_file(path))]:
        raise in_the_way(folder, there, fix)
    for place in (_blocked(path) for path in files):
        if place is not None:
            raise UsageError(f"{place} is not a folder", fix="Nothing was written")
    made: list[Path] = []
    try:
        for path, content in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_file():
                write_atomic(path, content, _MODE)
                continue
            with path.open("xb") as file:
                made.append(path)
                file.write(content)
    except OSError as error:
        for path in made:
            with suppress(OSError):
                path.unlink()
        raise ConfigError(f"{folder} cannot be written", cause=error.strerror or str(error)) from error


def in_the_way(folder: Path, paths: list[Path], fix: str = "") -> UsageError:
    """The error for files that are there."""
    names = ", ".join(sorted({os.path.relpath(path, folder) for path in paths}))
    what = f"{names} is already in {folder}" if len(set(paths)) == 1 else f"{folder} already has {names}"
    return UsageError(what, fix=f"Nothing was written; {fix or 'take another folder: mlship init DIR'}")


def holds(path: Path, content: bytes) -> bool:
    """Whether `path` is a file with that content."""
    with suppress(OSError):
        return _is_file(path) and path.read_bytes() == content
    return False


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _blocked(path: Path) -> Path | None:
    """The first of the folders above `path` that is something else."""
    above = [parent for parent in reversed(path.parents) if os.path.lexists(parent)]
    return next((parent for parent in above if not parent.is_dir()), None)
