"""Puts the units of a service into place, starts them anew when they changed, and takes them away."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from mlship_runtime.errors import RuntimeFault, SiteError
from mlship_runtime.files import make_folder, remove, sync_folder, write_atomic
from mlship_runtime.onhost.units import USER, Units
from mlship_runtime.supervision.systemctl import systemctl


def put(units: Units, texts: dict[str, str]) -> None:
    """Write the unit files and let systemd read and enable them; nothing is started. Raises OSError and
    SiteError."""
    before = read(units)
    if before != texts:
        make_folder(units.folder)
        for name in set(before) - set(texts):
            systemctl(units.scope, "disable", "--now", name)
            remove(units.folder / name)
        for name, text in texts.items():
            if before.get(name) != text:
                write_atomic(units.folder / name, text.encode(), 0o644)
        systemctl(units.scope, "daemon-reload")
    if texts:
        systemctl(units.scope, "enable", *texts)


def read(units: Units) -> dict[str, str]:
    """The unit files that are there, by name."""
    found = {}
    for name in units.all:
        with contextlib.suppress(FileNotFoundError):
            found[name] = (units.folder / name).read_text("utf-8")
    return found


def start(units: Units) -> None:
    """Start the service anew, and its sockets if they are not open; workers serve on. Returns when the
    supervisor is ready. Raises SiteError with what it said."""
    systemctl(units.scope, "reset-failed", units.service, check=False)
    try:
        systemctl(units.scope, "restart", units.service)
    except SiteError as fault:
        raise SiteError(f"{units.service} does not start", cause=_complaint(units), fix=_LOOK) from fault


_LOOK = "Look at what `systemctl status` says of it there"


def _complaint(units: Units) -> str:
    """Why, in systemd's words: a port that is taken stops a socket unit."""
    names = list(read(units))
    shown = systemctl(units.scope, "show", "--property=Id,Result,StatusText", *names, check=False)
    told = [dict(line.partition("=")[::2] for line in part.splitlines()) for part in shown.split("\n\n")]
    bad = [
        f"{unit.get('Id')}: {unit['Result']}" for unit in told if unit.get("Result", "success") != "success"
    ]
    return ", ".join(bad) or "systemd does not say why"


def close(units: Units, name: str) -> None:
    """Give up the port of a socket unit; it opens with the service's next start. Workers hold on to it."""
    systemctl(units.scope, "stop", name, check=False)


def link(units: Units) -> None:
    """Let all that know the service's folder find what systemd gives to it."""
    layout = units.layout
    for path, where in ((layout.state_link, units.state), (layout.run_link, units.run)):
        if where is not None and not path.is_symlink():
            path.symlink_to(where)
    sync_folder(layout.folder)


def stop(units: Units) -> None:
    """Stop the service with its workers, and do not start it again. Raises SiteError."""
    if names := list(read(units)):
        systemctl(units.scope, "disable", "--now", *names)


def take_away(units: Units) -> None:
    """Leave nothing of a stopped service with systemd. Raises OSError and SiteError."""
    names = list(read(units))
    if names:
        with contextlib.suppress(RuntimeFault):  # of a unit that was never started there is nothing to clean
            systemctl(units.scope, "clean", "--what=all", units.service)
    for name in names:
        remove(units.folder / name)
    if names:
        systemctl(units.scope, "daemon-reload")
        systemctl(units.scope, "reset-failed", *names, check=False)
    with contextlib.suppress(OSError):  # of others, or there before us
        if units.scope == USER:
            units.folder.rmdir()
            units.folder.parent.rmdir()
    for path in (units.layout.state_link, units.layout.run_link):
        path.unlink(missing_ok=True)
    for folder in (units.state, units.run):
        if folder is not None:
            _remove_given(folder)


def _remove_given(folder: Path) -> None:
    """What `clean` did not take: DynamicUser has a link, and the folder behind it."""
    if folder.is_symlink():
        behind = folder.parent / os.readlink(folder)
        folder.unlink()
        remove(behind)
    elif folder.exists():
        remove(folder)
