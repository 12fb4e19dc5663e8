"""Runs examples through the bundle in the making, in a clean process on its own runtime."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlship.bundle.packages.platforms import Wanted
from mlship.bundle.rows.examples import Tensor
from mlship.config import Project, interpreter
from mlship.errors import BuildError

_PROBE = "import sys, platform; print(platform.python_implementation(), '%d.%d' % sys.version_info[:2])"
_PRUNED = ("PYTHON", "LD_", "DYLD_")


@dataclass(frozen=True)
class Recorded:
    """What the bundle answers: `outputs` in the graph's order, and the `reduced` arrays that it fed the
    model. Where reduction and model are fused, `apart` is what the two answer one after the other."""

    outputs: list[Tensor]
    reduced: list[Tensor]
    apart: list[Tensor] | None = None


def record(
    python: Sequence[str],
    boot: Path,
    release: dict[str, Any],
    inputs: Sequence[Tensor],
    reduction: str | None,
    environment: Mapping[str, str] | None = None,
) -> Recorded:
    """Start `boot` (the bundle's own start file) with the command `python` and let it answer `inputs`. Raises
    BuildError.

    Unless there is an `environment`, the process sees the user's, but nothing of Python's or the linker's:
    what a reduction reads from it is found by the golden check on the target, where it is not there.
    """
    if environment is None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(_PRUNED)}
    with tempfile.TemporaryDirectory(prefix="mlship-record-") as scratch:
        job, result = Path(scratch, "job.json"), Path(scratch, "result.json")
        job.write_text(json.dumps({"release": release, "inputs": list(inputs), "result": str(result)}))
        done = subprocess.run(
            [*python, "-I", "-S", "-B", "-u", str(boot), "record", "--job", str(job)],
            cwd=scratch,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        if not result.is_file():
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise BuildError(
                f"the bundle could not be tried here: its process ended with code {done.returncode}",
                cause=said[-1] if said else "it said nothing",
            )
        answer = json.loads(result.read_text(encoding="utf-8"))
    if not answer["ok"]:
        raise _refusal(answer["error"], reduction)
    return Recorded(answer["outputs"], answer["reduced"], answer["apart"])


def runtime_python(project: Project, platform: Wanted) -> Path:
    """An interpreter of the runtime's Python on this machine: the project's, mlship's own, one on the search
    path, one that uv knows. Raises BuildError if there is none."""
    candidates = [interpreter(project), Path(sys.executable)]
    if found := shutil.which(f"python{platform.python}"):
        candidates.append(Path(found))
    for candidate in candidates:
        if _is_python(candidate, platform.python):
            return candidate
    if (known := _known_to_uv(platform.python)) and _is_python(known, platform.python):
        return known
    raise BuildError(
        f"this machine has no Python {platform.python}",
        cause="the bundle's runtime must be tried before it is shipped",
        fix="Install it, or choose another one: [runtime] python",
    )


def _is_python(path: Path, version: str) -> bool:
    try:
        done = subprocess.run(
            [str(path), "-I", "-S", "-c", _PROBE], capture_output=True, check=False, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.stdout.decode(errors="replace").split() == ["CPython", version]


def _known_to_uv(version: str) -> Path | None:
    try:
        import uv
    except ImportError:
        return None
    done = subprocess.run(
        [uv.find_uv_bin(), "python", "find", "--no-config", "--no-project", "--offline", version],
        capture_output=True,
        check=False,
        env={**os.environ, "UV_PYTHON_DOWNLOADS": "never"},
    )
    return Path(done.stdout.decode().strip()) if done.returncode == 0 else None


def _refusal(error: dict[str, str], reduction: str | None) -> BuildError:
    what, cause, fix = error["what"], error["cause"], error["fix"]
    if "ModuleNotFoundError" in cause and reduction:
        missing = cause.rpartition("'")[0].rpartition("'")[2]
        return BuildError(
            f"the reduction {reduction!r} imports {missing!r}, which the bundle's runtime does not have",
            fix="Name its package in mlship.toml: [runtime] requirements"
            + (", or keep all of it: [runtime] trim = false" if "." in missing else ""),
        )
    return BuildError(what, cause=cause, fix=fix)
