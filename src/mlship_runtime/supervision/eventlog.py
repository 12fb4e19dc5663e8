"""The supervisor's log: one JSON object a line, bounded; and the bound on the logs of releases."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

LIMIT = 8 << 20  # bytes; one older file of that size is kept


class EventLog:
    """Appends events to `path`; never raises: a full disk must not end a service."""

    def __init__(self, path: Path, limit: int = LIMIT) -> None:
        self._path, self._limit = path, limit

    def note(self, event: str, **fields: Any) -> None:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        line = json.dumps({"time": stamp, "event": event, **fields}, default=str) + "\n"
        try:
            bound(self._path, self._limit)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(line)
        except OSError:
            os.write(2, line.encode("utf-8"))


def bound(path: Path, limit: int = LIMIT) -> None:
    """Move what `path` holds to `path`.old once it is longer than `limit` bytes. The file itself stays, since
    workers have it open (for appending: they go on at its new end). Raises OSError."""
    try:
        if path.stat().st_size <= limit:
            return
    except FileNotFoundError:
        return
    shutil.copyfile(path, path.with_name(path.name + ".old"))
    os.truncate(path, 0)
