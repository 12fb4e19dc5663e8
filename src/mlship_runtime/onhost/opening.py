"""Opens a service whose port and supervisor are kept by systemd."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Sequence
from typing import Any

from mlship_runtime.errors import RuntimeFault, SiteError
from mlship_runtime.files import make_folder, read_json, read_numbered, remove, write_json
from mlship_runtime.onhost import keeping
from mlship_runtime.onhost.observe import supervisor_status
from mlship_runtime.onhost.place import check_place, is_at, kept_external, kept_port, place
from mlship_runtime.onhost.units import SYSTEM, Units, check_seen
from mlship_runtime.supervision import listening
from mlship_runtime.supervision.layout import Layout
from mlship_runtime.supervision.spawn import BOOT

_READABLE = 0o644  # below a folder that only root may enter


def open_by_units(units: Units, given: dict[str, Any]) -> dict[str, Any]:
    """Let systemd hold the port and the external place, and keep a supervisor of this version. What has to
    change for that is changed by a new supervisor; workers stay. If it does not start, all is as before."""
    layout, before = units.layout, read_numbered(units.layout.settings)
    wanted = _wanted(units, before, given)
    external = wanted["external"]
    texts = units.texts(
        listening.numeric(wanted["host"]),
        wanted["port"],
        (listening.numeric(external["host"]), external["port"]) if external else None,
        wanted["memory"],
        groups_for(wanted["files"]) if units.scope == SYSTEM else (),
    )
    status = supervisor_status(layout)
    if status and status["code"] == str(BOOT) and before == wanted and keeping.read(units) == texts:
        return place(status)
    _prepare(units)
    _write(units, wanted)
    old = keeping.read(units)
    try:
        keeping.put(units, texts)
        moved = (before or {}).get("external")
        if moved and not is_at(moved, external):
            keeping.close(units, units.external)
        keeping.start(units)
    except (OSError, RuntimeFault):
        _undo(units, before, old)
        raise
    started = supervisor_status(layout)
    if started is None:
        raise SiteError(
            f"the supervisor of {layout.name} does not answer", fix="Look at its unit's log there"
        )
    return place(started)


def _wanted(units: Units, before: dict[str, Any] | None, given: dict[str, Any]) -> dict[str, Any]:
    """The service's settings. Where a port is not open yet, it is tried out: what stands against it is said
    before anything is changed."""
    host, port = str(given["host"]), int(given["port"])
    if before:
        check_place(units.layout.name, (before["host"], before["port"]), (host, port))
        port = kept_port(before, host, port)
    else:
        port = listening.free(host, port)
    external = kept_external(before, given.get("external"))
    if external and not is_at((before or {}).get("external"), external):
        external["port"] = listening.free(external["host"], external["port"])
    more = {"python": given["python"]} if given.get("python") else {}
    return {
        **(before or {}),
        **more,
        "schemaVersion": 1,
        "host": host,
        "port": port,
        "external": external,
        "units": units.scope,
        "memory": int(given.get("memory") or 0),
        "files": list(given.get("files") or ()),
        "code": str(BOOT),
    }


def _prepare(units: Units) -> None:
    """Folders that the unit sees, and nobody else but root if the unit's user is not root."""
    layout, site = units.layout, units.layout.site
    for folder in (site.tools, site.blobs, site.layers, site.pycache, layout.folder, layout.releases):
        make_folder(folder)
        if units.scope == SYSTEM:
            folder.chmod(0o755)
    if units.scope == SYSTEM:
        site.services.chmod(0o700)
    keeping.link(units)


def _write(units: Units, settings: dict[str, Any]) -> None:
    write_json(units.layout.settings, settings, _READABLE if units.scope == SYSTEM else 0o600)


def _undo(units: Units, before: dict[str, Any] | None, old: dict[str, str]) -> None:
    """Somebody has to watch what runs. A service that was not there is not there again."""
    with contextlib.suppress(OSError, RuntimeFault):  # what is raised is why it was to change
        if before is None:
            keeping.stop(units)
            keeping.take_away(units)
            remove(units.layout.settings)
        else:
            _write(units, before)
            keeping.put(units, old)
            keeping.start(units)


def groups_for(files: Sequence[str]) -> list[int]:
    """The groups that a user who owns none of `files` needs to read them. Raises SiteError for one that such
    a user cannot read at all; one that is not there is the release's to complain about."""
    found = set()
    for path in files:
        check_seen(path)
        with contextlib.suppress(FileNotFoundError):
            about = os.stat(path)
            if about.st_mode & stat.S_IROTH:
                continue
            if not about.st_mode & stat.S_IRGRP or about.st_gid == 0:
                raise SiteError(
                    f"the service cannot read {path}",
                    cause="it runs as a user of its own, and only root may read that",
                    fix=f"Give it a group: chgrp ssl-cert {path} && chmod 640 {path}",
                )
            found.add(about.st_gid)
    return sorted(found)


def let_read(layout: Layout, number: int) -> None:
    """Let the unit's user read the record of a release and what it names."""
    record = layout.record(number)
    known = read_json(record) or {}
    for path in (record, *(layout.site.base / known[name] for name in ("manifest", "spec") if name in known)):
        path.chmod(_READABLE)
