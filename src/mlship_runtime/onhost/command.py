"""The far side of every command on a host: JSON request on standard input, JSON answer on standard output.

Verbs that read: facts, observe, path, logs. Verbs that change, and refuse a fence number lower than one
seen: take, stage, open, start, shift, settle, remove, destroy. A refusal is an answer ({ok: false,
error}) and ends with exit code 0; any other exit code means that this program broke. `follow` reads, too, and
goes on answering: see there.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any, Callable, Optional

from mlship_runtime.errors import RuntimeFault, SiteError
from mlship_runtime.files import last_lines, site_error
from mlship_runtime.onhost import owner
from mlship_runtime.supervision import fence
from mlship_runtime.supervision.control import fault_data
from mlship_runtime.supervision.layout import Layout, Site
from mlship_runtime.supervision.spawn import BOOT

_READING = {
    "facts": "facts",
    "observe": "observe",
    "path": "files",
    "logs": "files",
}
_CHANGING = {
    "take": "service",
    "stage": "stage",
    "open": "service",
    "start": "service",
    "shift": "service",
    "settle": "service",
    "remove": "remove",
    "destroy": "remove",
}
_LOG_LINES = 20

Verb = Callable[[Layout, dict], dict]  # type: ignore[type-arg]  # evaluated at run time, also by Python 3.9


def main(verb: str) -> int:
    """Answer the request on standard input."""
    if verb == "follow":
        return _follow()
    os.umask(0o022)  # what is secret is written so; the base folder is its owner's alone
    given = sys.stdin.buffer.read()
    answer = answer_to(verb, given)
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
    return 0


def answer_to(verb: str, given: bytes) -> dict[str, Any]:
    """The answer to one request, `given` as JSON."""
    layout: Optional[Layout] = None
    request: dict[str, Any] = {}
    try:
        layout, request = _asked(given)
        return {"ok": True, **_run(verb, layout, request)}
    except RuntimeFault as fault:
        return {"ok": False, "error": {**fault_data(fault), "log": _log_of(layout, request, verb)}}
    except (OSError, KeyError) as error:
        return {"ok": False, "error": fault_data(_as_fault(verb, error))}


def _follow() -> int:
    from mlship_runtime.onhost.follow import follow, say

    try:
        for answer in follow(*_asked(sys.stdin.buffer.readline())):
            if not say(answer):
                break
    except (RuntimeFault, OSError, KeyError) as error:
        say({"ok": False, "error": fault_data(_as_fault("follow", error))})
    return 0


def _as_fault(verb: str, error: Exception) -> RuntimeFault:
    if isinstance(error, RuntimeFault):
        return error
    if isinstance(error, OSError):
        return site_error(f"{verb} failed on the host", error)
    return SiteError(f"the request for {verb} lacks {error}")


def _run(verb: str, layout: Layout, request: dict[str, Any]) -> dict[str, Any]:
    name = _READING.get(verb) or _CHANGING.get(verb)
    if name is None:
        raise SiteError(f"the host knows no command {verb[:40]!r}", fix="Use one mlship on both sides")
    if verb in _CHANGING:
        if verb != "destroy":  # what a target has on a host that left it is another's to remove
            owner.admit(layout, request)
        fence.admit(layout, request.get("fence"))
        _mark_used(layout)
    function: Verb = getattr(importlib.import_module(f"mlship_runtime.onhost.{name}"), f"do_{verb}")
    return function(layout, request)


def _mark_used(layout: Layout) -> None:
    """Let the tools that run this look new, so that no sweep by another version takes them meanwhile."""
    tools = BOOT.parents[1]
    if tools.parent == layout.site.tools:
        os.utime(tools)


def _asked(given: bytes) -> tuple[Layout, dict[str, Any]]:
    request = _request(given)
    return Site(Path(request["base"]).resolve()).service(request["service"]), request


def _request(given: bytes) -> dict[str, Any]:
    try:
        request = json.loads(given)
    except ValueError as error:
        raise SiteError("the request is not JSON", cause=str(error)) from error
    if not isinstance(request, dict) or not str(request.get("base", "")).startswith("/"):
        raise SiteError("the request has no absolute `base`")
    return request


def _log_of(layout: Layout | None, request: dict[str, Any], verb: str) -> list[str]:
    """What the release wrote last, where that may tell why it failed."""
    number = request.get("release")
    if layout is None or verb not in ("start", "shift") or not isinstance(number, int):
        return []
    return last_lines(layout.log(number), _LOG_LINES)
