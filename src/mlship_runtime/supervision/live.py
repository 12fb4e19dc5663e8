"""`live.json`: which release has the port, and which ones had it before; one file, one change."""

from __future__ import annotations

from dataclasses import dataclass

from mlship_runtime.files import read_numbered, write_json
from mlship_runtime.supervision.layout import Layout


@dataclass(frozen=True)
class Live:
    """`release` is None when nothing has the port; `served` are all that are here and have had it."""

    release: int | None
    served: frozenset[int]


def read_live(layout: Layout) -> Live:
    """What `live.json` says; nothing before the first switch. Raises SiteError if it cannot be read."""
    value = read_numbered(layout.live)
    if value is None:
        return Live(None, frozenset())
    return Live(value["release"], frozenset(value["served"]))


def set_live(layout: Layout, release: int | None) -> None:
    """Give the port to `release`, durably. Raises OSError."""
    before = read_live(layout)
    served = before.served | ({release} if release is not None else frozenset())
    _write(layout, before, Live(release, served))


def forget(layout: Layout, releases: set[int]) -> None:
    """Strike releases that are removed. Raises OSError."""
    before = read_live(layout)
    _write(layout, before, Live(before.release, before.served - releases))


def _write(layout: Layout, before: Live, after: Live) -> None:
    if after != before:
        value = {"schemaVersion": 1, "release": after.release, "served": sorted(after.served)}
        write_json(layout.live, value, 0o644)  # by root, too, for a supervisor that is another user
