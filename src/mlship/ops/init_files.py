"""The files that `mlship init` writes: all of them, or none."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from mlship.errors import ConfigError, UsageError
from mlship_runtime.files import write_atomic

_MODE = 0o644


def write_files(
    folder: Path, files: Mapping[Path, bytes], *, replace: bool = False, fix: str = ""
) -> tuple[Path, ...]:
    """Write what is not there yet, or with `replace`, is there with other content; which these were.

    Raises UsageError, before anything is written, for what is in the way in `folder`, and ConfigError if it
    cannot be written: then what this has made is gone again.
    """
    wanted = {path: content for path, content in files.items() if not _is(path, content)}
    there = [path for path in wanted if os.path.lexists(path) and not (replace and _is_file(path))]
    if there or (there := [_blocked(path) for path in wanted if _blocked(path) != path]):
        raise in_the_way(folder, there, fix)
    made: list[Path] = []
    try:
        for path, content in wanted.items():
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
    return tuple(wanted)


def in_the_way(folder: Path, paths: list[Path], fix: str = "") -> UsageError:
    """The error for files that are there."""
    names = ", ".join(sorted({os.path.relpath(path, folder) for path in paths}))
    what = f"{names} is already in {folder}" if len(set(paths)) == 1 else f"{folder} already has {names}"
    return UsageError(what, fix=f"Nothing was written; {fix or 'take another folder: mlship init DIR'}")


def _is(path: Path, content: bytes) -> bool:
    with suppress(OSError):
        return _is_file(path) and path.read_bytes() == content
    return False


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _blocked(path: Path) -> Path:
    """The first of the folders above `path` that is something else; `path` itself if there is none."""
    above = [parent for parent in reversed(path.parents) if os.path.lexists(parent)]
    return next((parent for parent in above if not parent.is_dir()), path)
