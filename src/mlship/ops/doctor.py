"""`mlship doctor`: look at this machine, or at a target and the release that runs there, and say what is
wrong.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import msgspec

from mlship.config import cache_dir, data_dir, interpreter
from mlship.errors import MlshipError
from mlship.ops.context import Context
from mlship.ops.service import Service, open_service
from mlship.result import Result
from mlship.target.deployment import Vitals
from mlship.target.protocol import Adapter, at_host, hosts_of
from mlship.target.turns import side_by_side
from mlship_runtime.client import Request
from mlship_runtime.supervision.probe import DIGEST_HEADER

_ENDS = 3  # of workers, that are told


class Check(Result, frozen=True, kw_only=True):
    """One thing looked at."""

    name: str
    ok: bool
    detail: str
    fix: str = ""


class Diagnosis(Result, frozen=True, kw_only=True):
    """All that was looked at; `ok` if nothing is wrong."""

    about: str
    ok: bool
    checks: tuple[Check, ...]


def doctor(ctx: Context, target: str | None = None) -> Diagnosis:
    """Check this machine (no target), or a target: its reach, its release, its answers to the golden
    examples.
    """
    if target is None:
        checks = _machine(ctx)
        return Diagnosis(about="this machine", ok=all(c.ok for c in checks), checks=tuple(checks))
    service = open_service(ctx, target)
    checks = _all_hosts(service)
    return Diagnosis(
        about=f"{service.target}/{service.name}", ok=all(c.ok for c in checks), checks=tuple(checks)
    )


def _machine(ctx: Context) -> list[Check]:
    checks = [
        Check(name="python", ok=sys.version_info >= (3, 11), detail=platform.python_version()),
        _folder("data folder", data_dir()),
        _folder("cache folder", cache_dir()),
        _module("resolver (uv)", "uv"),
    ]
    if ctx.project:
        checks.append(_tried("project interpreter", lambda: str(interpreter(ctx.project_or_error()))))
    checks.append(_tried("default registry", lambda: f"{len(ctx.registry().names())} names"))
    return checks


def _all_hosts(service: Service) -> list[Check]:
    hosts = hosts_of(service.adapter)
    if not hosts:
        return _target(service.adapter)
    each = side_by_side({host: partial(_target, at_host(service.adapter, host)) for host in hosts})
    return [
        msgspec.structs.replace(check, name=f"{check.name} on {host}")
        for host, checks in each.items()
        for check in checks
    ]


def _target(adapter: Adapter) -> list[Check]:
    checks = [_tried("reach", lambda: "answers" if adapter.observe() is not None else "")]
    if not checks[0].ok:
        return checks
    seen = adapter.observe()
    live = seen.live
    if live is None:
        return [*checks, Check(name="release", ok=False, detail="nothing is live", fix="mlship deploy")]
    state = f"release {live.number} of {live.reference} is {live.state}"
    checks.append(Check(name="release", ok=seen.healthy, detail="; ".join((state, *seen.problems))))
    if seen.vitals is not None:
        checks += _vitals(seen.vitals)
    if live.state == "serving":
        checks.append(_tried("digest served", lambda: _served(adapter, live.digest)))
        checks.append(_tried("golden examples", lambda: _golden(adapter, live.number)))
    return checks


def _vitals(vitals: Vitals) -> list[Check]:
    """What the processes hold, and how often they had to be replaced: told, for a person to judge."""
    serving = sum(worker.state == "serving" for worker in vitals.workers)
    total = sum(vitals.restarts.values())
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(vitals.restarts.items()))
    restarts = "; ".join((f"{total} ({reasons})", *vitals.ends[-_ENDS:])) if total else "none"
    checks = [
        Check(name="workers", ok=serving > 0, detail=f"{serving} of {len(vitals.workers)} serve"),
        Check(name="restarts", ok=True, detail=restarts),
    ]
    over = f", of at most {_megabytes(vitals.ceiling)} each" if vitals.ceiling else ""
    held = [_megabytes(worker.memory) for worker in vitals.workers if worker.memory is not None]
    opened = [str(worker.descriptors) for worker in vitals.workers if worker.descriptors is not None]
    if held:
        checks.append(Check(name="memory", ok=True, detail=", ".join(held) + over))
    if opened:
        checks.append(Check(name="open files", ok=True, detail=", ".join(opened)))
    if vitals.waiting is not None:
        checks.append(Check(name="queue", ok=True, detail=f"{vitals.waiting} connections wait"))
    return checks


def _served(adapter: Adapter, wanted: str) -> str:
    answer = adapter.invoke(Request("/v2/health/ready", method="GET"))
    digest = answer.headers.get(DIGEST_HEADER, "")
    if answer.status != 200 or digest != wanted:
        raise MlshipError(f"the endpoint answers {answer.status} with {digest or 'no digest'}, not {wanted}")
    return digest


def _golden(adapter: Adapter, release: int) -> str:
    proof = adapter.prove(release, adapter.golden(release))
    if not proof.holds:
        raise MlshipError(f"{len(proof.differences)} answers differ", cause=proof.differences[0])
    return f"{proof.rows} rows answered as at build, largest error {proof.max_abs:.1e}"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.0f} MB"


def _folder(name: str, folder: Path) -> Check:
    existing = next(p for p in (folder, *folder.parents) if p.exists())
    writable = os.access(existing, os.W_OK)
    fix = "" if writable else "Give yourself write access, or set MLSHIP_HOME and MLSHIP_CACHE"
    return Check(name=name, ok=writable, detail=str(folder), fix=fix)


def _module(name: str, module: str) -> Check:
    found = find_spec(module) is not None
    fix = "" if found else "pip install 'mlship-toolchain[build]'"
    return Check(name=name, ok=found, detail="installed" if found else "not installed", fix=fix)


def _tried(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name=name, ok=True, detail=look())
    except MlshipError as error:
        return Check(
            name=name, ok=False, detail=": ".join(filter(None, (error.what, error.cause))), fix=error.fix
        )
