"""Who is to keep a service on this host: the machine's systemd, this user's, or a process of its own."""

from __future__ import annotations

import os
import pwd
import sys
from pathlib import Path
from typing import Any

from mlship_runtime.errors import SiteError
from mlship_runtime.files import read_numbered
from mlship_runtime.onhost.units import SYSTEM, USER, Units, is_hidden
from mlship_runtime.supervision.layout import Layout
from mlship_runtime.supervision.systemctl import runtime_folder

AUTO, NONE = "auto", "none"
KEEPERS = {SYSTEM: "systemd", USER: "systemd --user", NONE: "a process of its own"}
_BOOTED = Path("/run/systemd/system")  # sd_booted(3)
_LINGER = Path("/var/lib/systemd/linger")


def choose(layout: Layout, wanted: str) -> tuple[str, str]:
    """`system`, `user` or `none`, and why it is not what `auto` would rather have. A service that is there
    stays with whom it has. Raises SiteError if what is wanted cannot be, or not without closing its port."""
    kept, missing = kept_by(layout), {scope: lack(scope) for scope in (SYSTEM, USER)}
    if wanted == AUTO:
        found = kept or next((scope for scope in (SYSTEM, USER) if not missing[scope]), NONE)
        return found, missing[SYSTEM if os.getuid() == 0 else USER] if found == NONE else ""
    if kept is not None and kept != wanted:
        raise SiteError(
            f"{layout.name} is kept by {KEEPERS[kept]}, not by {KEEPERS[wanted]}",
            cause="its port would be closed for a moment, and requests lost",
            fix=f'Set units = "{kept}" or "auto", or destroy the service and deploy again',
        )
    if why := missing.get(wanted):
        raise SiteError(f'units = "{wanted}" cannot be had here', cause=why, fix='Or set units = "auto"')
    return wanted, ""


def kept_by(layout: Layout) -> str | None:
    """Who keeps the service, None as long as it has no port."""
    settings = read_numbered(layout.settings)
    return str(settings.get("units", NONE)) if settings else None


def lack(scope: str) -> str:
    """What is missing for units of this scope, and what to do about it; empty if nothing is."""
    if not _BOOTED.is_dir():
        return "this machine was not started by systemd"
    if scope == SYSTEM:
        if os.getuid() != 0:
            return "only root may write system units, and sudo is not used: log in as root"
        python = Path(sys.executable).resolve()
        return f"a system unit would not see {python}" if is_hidden(python) else ""
    user = pwd.getpwuid(os.getuid()).pw_name
    if not (_LINGER / user).exists():
        return f"services of {user} end with its last login: root sets `loginctl enable-linger {user}`"
    if not (runtime_folder() / "systemd" / "private").exists():
        return f"{user} has no systemd of its own: root looks at `systemctl status user@{os.getuid()}`"
    return ""


def about(layout: Layout, wanted: str) -> dict[str, Any]:
    """For `observe`: who keeps the service now and by which units, who is to keep it, why not somebody
    better; and what stands against it."""
    kept, trouble = kept_by(layout), None
    try:
        chosen, why = choose(layout, wanted)
    except SiteError as fault:
        chosen, why = "", ""
        trouble = {"what": f"{fault.what}: {fault.cause}", "fix": fault.fix}
    by = kept or chosen or NONE
    settings = read_numbered(layout.settings) or {}
    names = list(Units(layout, by).all[: 3 if settings.get("external") else 2]) if by != NONE else []
    return {"kept": kept, "names": names, "chosen": chosen, "why": why, "trouble": trouble}
