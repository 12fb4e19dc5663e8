"""Makes a worker out of a release: checks machine and files with the host's own tools, then becomes the
release's Python code. Nothing of a bundle is executed before its hashes have been compared.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import Any

from mlship_runtime.bundle.tree import open_tree
from mlship_runtime.bundle.verify import verify_tree
from mlship_runtime.errors import RuntimeFault, SiteError
from mlship_runtime.files import write_json
from mlship_runtime.platforms import misfit, this_platform
from mlship_runtime.supervision import listening
from mlship_runtime.supervision.control import fault_data, fault_of
from mlship_runtime.supervision.layout import layout_of
from mlship_runtime.supervision.release_record import read_record
from mlship_runtime.supervision.spawn import python_command

BOOT = "runtime/any/mlship_runtime/boot.py"


def main(release: str, index: int) -> int:
    """Verify the release in the record `release` and become its worker `index`; returns only on failure."""
    layout = layout_of(Path(release).parent.parent)
    record = read_record(Path(release))
    try:
        options = ["--release", release, "--index", str(index)]
        command = own_command(record, str(layout.site.pycache), "work", options)
        listening.take_from_stdin()
        sys.stdout.flush()
        os.execv(command[0], command)  # noqa: S606  no shell: the interpreter that runs this
    except Exception as error:  # noqa: BLE001  whatever it is, the supervisor must learn it
        return report_failure(layout.failure(record["number"]), error)


def check_machine(record: dict[str, Any]) -> None:
    """Raise SiteError if this Python or machine is not what the release was built for."""
    why = misfit(record["platform"], this_platform())
    if why:
        raise SiteError(
            f"release {record['number']} cannot run here",
            cause=why,
            fix="Build for this platform or set `python`",
        )


def own_command(record: dict[str, Any], pycache: str | None, verb: str, options: list[str]) -> list[str]:
    """The command that starts the release's own code, after everything in its tree was verified. Raises
    InvalidBundle, or SiteError if it is not for this machine."""
    check_machine(record)
    tree = open_tree(record)
    verify_tree(tree)
    python = python_command(sys.executable, pycache)
    return [*python, tree.path(BOOT), verb, *options, "--verified", tree.digest]


def report_failure(path: Path, error: Exception) -> int:
    """Say on stderr (the log) and in the failure file why the worker gives up; returns the exit code."""
    if not isinstance(error, RuntimeFault) or error.__cause__ is not None:
        traceback.print_exception(type(error), error, error.__traceback__)
    fault = error if isinstance(error, RuntimeFault) else SiteError("the release cannot be loaded")
    data = fault_data(fault)
    inner = error if fault is not error else error.__cause__
    if inner is not None and not data["cause"]:
        data["cause"] = f"{type(inner).__name__}: {inner}"
    sys.stderr.write(f"{fault_of(data)}\n")
    sys.stderr.flush()
    write_json(path, {"schemaVersion": 1, "error": data})
    return fault.exit_code
