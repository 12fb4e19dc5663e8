"""What a host is, before anything is put on it."""

from __future__ import annotations

import os
import pwd
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Optional

from mlship_runtime.errors import SiteError
from mlship_runtime.platforms import this_platform
from mlship_runtime.supervision.layout import Layout
from mlship_runtime.supervision.listening import bind

# What a release imports, and distributions leave out of a small Python.
_MODULES = ("asyncio", "ctypes", "decimal", "multiprocessing", "ssl", "zlib")


def do_facts(layout: Layout, request: dict[str, Any]) -> dict[str, Any]:
    """Python, platform and clock; the disk below the base folder (`freeFiles` None if it counts none), what
    may be done there, and by whom. Of what the request names: the `libraries` that are not there, and why the
    listeners in `ports` ({host, port}) cannot be opened."""
    folder = _existing(layout.site.base)
    space = os.statvfs(folder)
    return {
        "python": list(sys.version_info[:3]),
        "platform": str(this_platform()),
        "clock": time.time(),
        "user": _user(),
        "folder": str(folder),
        "freeBytes": space.f_bavail * space.f_frsize,
        "freeFiles": space.f_favail if space.f_files else None,
        "readOnly": bool(space.f_flag & os.ST_RDONLY),
        "noExec": bool(space.f_flag & getattr(os, "ST_NOEXEC", 0)),
        "writable": os.access(folder, os.W_OK | os.X_OK),
        "lacks": [name for name in _MODULES if find_spec(name) is None],
        "libraries": [name for name in request.get("libraries", []) if not _loads(name)],
        "ports": [found for place in request.get("ports", []) if (found := _taken(**place))],
    }


def _existing(folder: Path) -> Path:
    """The nearest folder that is there, or may not be looked into."""
    while not os.path.lexists(folder):
        folder = folder.parent
    return folder


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # it has no name
        return str(os.geteuid())


def _loads(library: str) -> bool:
    """Whether a release would find it. A Python without ctypes cannot tell, and is told for that."""
    try:
        import ctypes

        ctypes.CDLL(library)
    except ImportError:
        return True
    except OSError:
        return False
    return True


def _taken(host: str, port: int) -> Optional[dict[str, str]]:
    try:
        bind(host, port).close()
    except SiteError as error:
        return {"what": f"{error.what}: {error.cause}", "fix": error.fix}
    return None
