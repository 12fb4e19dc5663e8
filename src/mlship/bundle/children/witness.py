"""What a run depended on, so that its result can be kept until one of these things changes.

Code that was imported and files that were opened are noted as they are; what a C library opened by itself is
not seen, and such results are kept for files that the job names only.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

_SYSTEM = ("/proc/", "/sys/", "/dev/")
_INSTALLED = ("site-packages", "dist-packages")


class Witness:
    """Notes every file that Python opens from now on."""

    def __init__(self) -> None:
        self._opened: set[str] = set()
        sys.addaudithook(self._hear)

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(args[0], (str, bytes, os.PathLike)):
            self._opened.add(os.fsdecode(args[0]))

    def testimony(self, *apart: str) -> dict[str, Any]:
        """`code`: size and time (ns) of each imported file and each folder of packages; `files`: the other
        files that were opened and are still there, but for those in the folders `apart`."""
        code = {str(Path(path).absolute()) for path in map(_source, list(sys.modules.values())) if path}
        code.update(str(path) for path in map(Path, sys.path) if path.name in _INSTALLED and path.is_dir())
        known = tuple(str(Path(place).resolve()) + os.sep for place in (sys.prefix, sys.base_prefix, *apart))
        opened = {os.path.realpath(path) for path in self._opened if Path(path).is_file()}
        files = [path for path in opened if not path.startswith((*known, *_SYSTEM))]
        states = {path: state for path in sorted(code) if (state := _state(path))}
        return {"code": states, "files": sorted(files)}


def _source(module: Any) -> str:
    found = getattr(module, "__file__", None)
    return found if isinstance(found, str) else ""


def _state(path: str) -> list[int]:
    try:
        found = Path(path).stat()
    except OSError:
        return []
    return [found.st_size, found.st_mtime_ns]
