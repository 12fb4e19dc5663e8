"""What a host is, before anything is put on it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from mlship_runtime.platforms import this_platform
from mlship_runtime.supervision.layout import Layout


def do_facts(layout: Layout, request: dict[str, Any]) -> dict[str, Any]:
    """Python, platform, and the disk below the base folder: free bytes, read-only or not."""
    here = this_platform()
    space = os.statvfs(_existing(layout.site.base))
    return {
        "python": list(sys.version_info[:3]),
        "platform": str(here),
        "freeBytes": space.f_bavail * space.f_frsize,
        "readOnly": bool(space.f_flag & os.ST_RDONLY),
    }


def _existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder
