"""What a host is, before anything is put on it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from mlship_runtime.platforms import this_platform
from mlship_runtime.supervision.layout import Layout


def do_facts(layout: Layout, request: dict[str, Any]) -> dict[str, Any]:
    """Python, platform, free bytes below the base folder, and which versions of the tools are there."""
    here = this_platform()
    space = os.statvfs(_existing(layout.site.base))
    return {
        "python": list(sys.version_info[:3]),
        "platform": str(here),
        "libc": "{}.{}".format(*here.floor),
        "machine": here.processor,
        "system": here.system,
        "freeBytes": space.f_bavail * space.f_frsize,
        "uid": os.getuid(),
        "toolsPresent": sorted(path.name for path in layout.site.tools.glob("*")),
    }


def _existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder
