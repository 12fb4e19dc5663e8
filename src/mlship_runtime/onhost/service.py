"""Opens a service's port, starts releases, moves traffic: orders to the supervisor, started if need be."""

from __future__ import annotations

import contextlib
import json
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from mlship_runtime.errors import NotReady, RuntimeFault, SiteError
from mlship_runtime.files import as_site_errors, last_lines, make_folder, read_numbered, write_json
from mlship_runtime.onhost import keeping
from mlship_runtime.onhost.choice import NONE, choose, kept_by
from mlship_runtime.onhost.observe import supervisor_status
from mlship_runtime.onhost.opening import let_read, open_by_units
from mlship_runtime.onhost.place import check_place, is_at, kept_external, kept_port, place
from mlship_runtime.onhost.units import SYSTEM, Units
from mlship_runtime.supervision import fence
from mlship_runtime.supervision.control import Unreachable, fault_of, request
from mlship_runtime.supervision.layout import Layout
from mlship_runtime.supervision.listening import reach
from mlship_runtime.supervision.probe import digest_on_port
from mlship_runtime.supervision.spawn import BOOT, start_supervisor

_START_WAIT = 30.0  # seconds for a supervisor to hold its port
_READY_WAIT = 60.0  # seconds for a release, unless the request says otherwise
_SHIFT_WAIT = 45.0
_PAUSE = 0.1  # seconds between two looks


def do_take(layout: Layout, _: dict[str, Any]) -> dict[str, Any]:
    """Refuse the orders of whoever was there before: the number of this one was admitted to come here."""
    return {"fence": fence.highest(layout)}


def do_open(layout: Layout, given: dict[str, Any]) -> dict[str, Any]:
    """Make sure that a supervisor of this version holds `host`:`port` (0: a free port, chosen once), and the
    `external` place beside it, if one is given. To change that, the supervisor is replaced; workers stay.
    `units` says who keeps it (see `choice`); without it that stays as it is."""
    with as_site_errors(f"{layout.name} cannot be opened"):
        units, _ = choose(layout, str(given.get("units") or kept_by(layout) or NONE))
        if units != NONE:
            return open_by_units(Units(layout, units), given)
        return _open(layout, given)


def _open(layout: Layout, given: dict[str, Any]) -> dict[str, Any]:
    host, port = str(given["host"]), int(given["port"])
    for folder in (layout.logs, layout.releases):
        make_folder(folder)
    before = read_numbered(layout.settings)
    external = kept_external(before, given.get("external"))
    status = supervisor_status(layout)
    if status:
        check_place(layout.name, (str((before or {}).get("host", host)), status["port"]), (host, port))
        if status["code"] == str(BOOT) and is_at(status.get("external"), external):
            return place(status)
        _dismiss(layout, given)
    kept = kept_port(before, host, port)
    wanted = {**(before or {}), "schemaVersion": 1, "host": host, "port": kept, "external": external}
    if given.get("python"):
        wanted["python"] = given["python"]
    if wanted != before:
        write_json(layout.settings, wanted)
    try:
        return _start(layout)
    except RuntimeFault:
        if before and wanted != before:
            write_json(layout.settings, before)
            if status:  # as it was: somebody has to watch what runs
                _start(layout)
        raise


def do_start(layout: Layout, given: dict[str, Any]) -> dict[str, Any]:
    """Run `release` until it is ready, for at most `timeout` seconds; raises why it failed."""
    _ensure(layout)
    if kept_by(layout) == SYSTEM:
        let_read(layout, int(given["release"]))
    timeout = float(given.get("timeout") or _READY_WAIT)
    order = {"verb": "start", "release": given["release"], "timeout": timeout, "fence": given.get("fence")}
    answer = request(layout.supervisor_socket, order, timeout + 10)
    return {"state": answer["state"], "workers": answer["workers"]}


def do_shift(layout: Layout, given: dict[str, Any]) -> dict[str, Any]:
    """Give the port to `release`; the others drain for at most `drain` seconds."""
    _ensure(layout)
    order = {
        "verb": "shift",
        "release": given["release"],
        "drain": given.get("drain"),
        "fence": given.get("fence"),
    }
    answer = request(layout.supervisor_socket, order, _SHIFT_WAIT)
    return {"live": answer["live"], "draining": answer["draining"]}


def do_settle(layout: Layout, given: dict[str, Any]) -> dict[str, Any]:
    """Wait until no release but `release` answers any more; returns the digest that the port answers with."""
    _ensure(layout)
    number, end = int(given["release"]), time.monotonic() + float(given.get("timeout", _READY_WAIT))
    while True:
        status = request(layout.supervisor_socket, {"verb": "status"})
        others = [release["number"] for release in status["releases"] if _has_traffic(release, number)]
        if not others:
            break
        if time.monotonic() > end:
            raise NotReady(
                f"releases {others} have not given up their connections", fix="Wait, then try again"
            )
        time.sleep(_PAUSE)
    if status["live"] != number:
        raise NotReady(f"release {number} is not live", cause=f"{status['live']} is", fix="Shift to it first")
    digest = digest_on_port(reach(status["host"]), status["port"])
    return {"digest": digest, **place(status)}


def _has_traffic(release: dict[str, Any], number: int) -> bool:
    states = {worker["state"] for worker in release["workers"]}
    return "draining" in states or (release["number"] != number and "serving" in states)


def _ensure(layout: Layout) -> None:
    """A supervisor must be there; one that died is replaced. On a slow machine it takes a while to answer."""
    if supervisor_status(layout, _START_WAIT) is None:
        if read_numbered(layout.settings) is None:
            raise SiteError(f"{layout.name} has no port yet", fix="Open it first")
        with as_site_errors(f"{layout.name} cannot be opened"):
            units = kept_by(layout) or NONE
            if units != NONE:
                keeping.start(Units(layout, units))
            else:
                _start(layout)


def _start(layout: Layout) -> dict[str, Any]:
    child = start_supervisor(str(Path(sys.executable).resolve()), layout)
    said = _first_line(child)
    child.returncode = 0  # it is to outlive this process, which must not wait for it
    if not said:
        line = (last_lines(layout.events, 1) or ["it said nothing"])[0]
        raise SiteError(f"the supervisor of {layout.name} did not start", cause=line)
    answer = json.loads(said)
    if answer["ok"]:
        return place(answer)
    status = supervisor_status(layout)  # somebody else may have been faster
    if status:
        return place(status)
    raise fault_of(answer["error"])


def _first_line(child: subprocess.Popen[bytes]) -> bytes:
    """What the supervisor says once it holds the port or has failed; empty if it dies or takes too long."""
    assert child.stdout is not None  # noqa: S101  it was asked for
    with child.stdout as stream:
        readable, _, _ = select.select([stream], [], [], _START_WAIT)
        return stream.readline() if readable else b""


def _dismiss(layout: Layout, given: dict[str, Any]) -> None:
    """Let a supervisor of another version go; its workers stay, and so does their socket."""
    with contextlib.suppress(Unreachable):
        request(layout.supervisor_socket, {"verb": "leave", "fence": given.get("fence")})
