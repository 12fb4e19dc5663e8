"""Removes layers and documents that no release uses any more, and what broken-off commands left. Its
callers hold the lock of the base folder, so nothing is being unpacked meanwhile."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mlship_runtime.bundle.extract import PART
from mlship_runtime.errors import SiteError
from mlship_runtime.files import read_json, remove
from mlship_runtime.supervision.control import NoAnswer, Unreachable, request
from mlship_runtime.supervision.layout import Layout, Site
from mlship_runtime.supervision.spawn import BOOT

_OLD = 86_400.0  # seconds after which an unused layer is no longer waiting for its release to be staged


def digests_of(layout: Layout, number: int) -> set[str]:
    """What the record of a release refers to: layers, manifest and spec."""
    record = read_json(layout.record(number)) or {}
    documents = {"sha256:" + Path(record[name]).name for name in ("manifest", "spec") if name in record}
    return documents | set(record.get("layers", ()))


def sweep(site: Site, candidates: set[str]) -> int:
    """Remove those of `candidates` (digests), and of what has lain unused for a day, that no record of any
    service names. Returns how many were removed. Raises OSError."""
    used = {
        digest
        for layout in site.layouts()
        for number in layout.numbers()
        for digest in digests_of(layout, number)
    }
    removed = 0
    for path in _kept(site):
        digest = "sha256:" + path.name
        if digest in used or not (digest in candidates or _is_old(path)):
            continue
        remove(path)
        remove(site.cache_of(path))
        removed += 1
    sweep_unfinished(site)
    return removed


def sweep_unfinished(site: Site) -> None:
    """Remove what an extraction or removal that was killed has left."""
    for folder in (site.layers, site.blobs, site.services, site.incoming, site.pycache):
        for path in folder.glob("*"):
            if PART in path.name or path.name.endswith((".gone", ".part")):
                remove(path)
    for path in (*site.incoming.glob("*/*"), *site.tools.glob(f"*{PART}*")):
        if _is_old(path):  # its service is not deployed to any more, or only elsewhere
            remove(path)
    _sweep_tools(site)


def _sweep_tools(site: Site) -> None:
    """Remove tools of other versions that no supervisor runs and no command has used for a day."""
    old = [path for path in site.tools.glob("*") if path != BOOT.parents[1] and _is_old(path)]
    if not old:
        return
    try:
        running = {status["code"] for layout in site.layouts() if (status := _supervisor(layout))}
        running |= {code for layout in site.layouts() if (code := _started_by_unit(layout))}
    except (NoAnswer, SiteError):
        return  # any of them may be needed
    for path in old:
        if not any(Path(code).is_relative_to(path) for code in running):
            remove(path)


def _started_by_unit(layout: Layout) -> str | None:
    """The tools that the service's unit starts, also while it does not run."""
    return (read_json(layout.settings) or {}).get("code")


def _supervisor(layout: Layout) -> dict[str, Any] | None:
    try:
        return request(layout.supervisor_socket, {"verb": "status"})
    except NoAnswer:
        raise
    except Unreachable:
        return None


def _is_old(path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):  # a deploy of another service has just taken it
        return time.time() - path.stat().st_mtime > _OLD
    return False


def _kept(site: Site) -> Iterable[Path]:
    for folder in (site.layers, site.blobs):
        yield from [path for path in folder.glob("*") if len(path.name) == 64]
