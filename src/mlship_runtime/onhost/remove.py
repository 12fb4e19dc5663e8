"""Takes releases, or a whole service, off the host."""

from __future__ import annotations

import contextlib
import os
from typing import Any

from mlship_runtime.errors import SiteError
from mlship_runtime.files import as_site_errors, locked, make_folder, remove, sync_folder, take_lock
from mlship_runtime.onhost import keeping
from mlship_runtime.onhost.choice import NONE, kept_by
from mlship_runtime.onhost.stop import DRAIN, end_workers, stop_release
from mlship_runtime.onhost.sweep import digests_of, sweep
from mlship_runtime.onhost.units import Units
from mlship_runtime.supervision import fence
from mlship_runtime.supervision.control import Unreachable, request
from mlship_runtime.supervision.layout import RUN_ROOT, Layout, Site
from mlship_runtime.supervision.live import forget, read_live

_LOCK_WAIT = 600.0  # seconds: another service may be staging
_QUIT_WAIT = 60.0  # seconds for a supervisor to end all workers and leave


def do_remove(layout: Layout, given: dict[str, Any]) -> dict[str, Any]:
    """Remove `releases`: workers, record, logs, and the layers that no other release uses, but those in
    `keep` (digests), which a release that is about to be staged needs."""
    numbers = {int(number) for number in given["releases"]}
    live = read_live(layout).release
    if live in numbers:
        raise SiteError(
            f"release {live} of {layout.name} is live", fix="Deploy or roll back to another one first"
        )
    with as_site_errors(f"releases of {layout.name} cannot be removed"):
        make_folder(layout.site.base)
        for number in sorted(numbers):
            stop_release(layout, number, given.get("fence"))
        with locked(layout.site.lock, str(layout.site.base), _LOCK_WAIT):
            fence.admit(layout, given.get("fence"))
            freed: set[str] = set()
            for number in sorted(numbers):
                freed |= digests_of(layout, number)
                _forget(layout, number)
            forget(layout, numbers)
            remove(layout.incoming)
            return {
                "removed": sorted(numbers),
                "swept": sweep(layout.site, freed - set(given.get("keep", ()))),
            }


def do_destroy(layout: Layout, given: dict[str, Any]) -> dict[str, Any]:
    """Remove the whole service; with `purge` and no other service there, all that mlship made there too."""
    site = layout.site
    with as_site_errors(f"{layout.name} cannot be removed"):
        make_folder(layout.folder)
        _quit(layout, given.get("fence"))
        with locked(site.lock, str(site.base), _LOCK_WAIT):
            fence.admit(layout, given.get("fence"))
            freed: set[str] = set()
            for number in layout.numbers():
                freed |= digests_of(layout, number)
            _remove_service(layout)
            sweep(site, freed)
            purged = bool(given.get("purge")) and site.is_unused
            if purged:
                _purge(site)
    return {"purged": purged}


def _purge(site: Site) -> None:
    """Remove what is ours and then the folder, if nothing else is in it. This process has loaded all it needs
    of the tools; the lock goes last."""
    for path in site.made:
        remove(path)
    for folder in (RUN_ROOT / f"mlship-{os.getuid()}", site.base):
        with contextlib.suppress(OSError):
            folder.rmdir()


def _forget(layout: Layout, number: int) -> None:
    """The record goes first: without it the rest is only garbage that a later sweep takes."""
    if layout.releases.is_dir():
        remove(layout.record(number))
        sync_folder(layout.releases)
    log = layout.log(number)
    health = layout.health(number)
    for path in (
        log,
        log.with_name(log.name + ".old"),
        layout.failure(number),
        layout.counters(number),
        health,
    ):
        remove(path)


def _quit(layout: Layout, fence_number: int | None) -> None:
    """End the supervisor and every worker. Whoever holds the service's lock afterwards is this process."""
    kept = kept_by(layout) or NONE
    units = Units(layout, kept) if kept != NONE else None
    if units:
        keeping.stop(units)
    with contextlib.suppress(Unreachable):
        request(layout.supervisor_socket, {"verb": "quit", "fence": fence_number, "drain": DRAIN}, _QUIT_WAIT)
    make_folder(layout.lock.parent)
    lock = take_lock(layout.lock, f"the service {layout.name}", timeout=10.0)
    try:
        end_workers(layout.found_workers(), DRAIN)
        if units:
            keeping.take_away(units)
    finally:
        os.close(lock)


def _remove_service(layout: Layout) -> None:
    remove(layout.incoming)
    remove(layout.folder)
    sync_folder(layout.site.services)
    remove(layout.run)
