"""Removes layers and documents that no release uses any more, and what broken-off commands left. Its
callers hold the lock of the base folder, so nothing is being unpacked meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from mlship_runtime.bundle.extract import PART
from mlship_runtime.files import read_json, remove
from mlship_runtime.supervision.layout import Layout, Site

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
        if digest in used or not (digest in candidates or time.time() - path.stat().st_mtime > _OLD):
            continue
        remove(path)
        remove(site.cache_of(path))
        removed += 1
    sweep_unfinished(site)
    return removed


def sweep_unfinished(site: Site) -> None:
    """Remove what an extraction or removal that was killed has left."""
    for folder in (site.layers, site.blobs, site.services):
        for path in folder.glob("*"):
            if PART in path.name or path.name.endswith((".gone", ".part")):
                remove(path)


def _kept(site: Site) -> Iterable[Path]:
    for folder in (site.layers, site.blobs):
        yield from [path for path in folder.glob("*") if len(path.name) == 64]
