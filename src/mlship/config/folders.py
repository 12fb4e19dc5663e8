"""Where mlship keeps things of the user: MLSHIP_HOME and MLSHIP_CACHE, else the XDG folders."""

from __future__ import annotations

import os
from pathlib import Path


def data_dir() -> Path:
    """The default registry and the ledgers of local services; made by whoever writes there first."""
    return _folder("MLSHIP_HOME", "XDG_DATA_HOME", ".local/share")


def cache_dir() -> Path:
    """What can be fetched or made again; safe to remove."""
    return _folder("MLSHIP_CACHE", "XDG_CACHE_HOME", ".cache")


def _folder(own: str, xdg: str, beneath_home: str) -> Path:
    if named := os.environ.get(own):
        return Path(named).expanduser().absolute()
    root = os.environ.get(xdg, "")
    # The XDG specification: a relative path there is to be ignored.
    return (Path(root) if root.startswith("/") else Path.home() / beneath_home) / "mlship"
