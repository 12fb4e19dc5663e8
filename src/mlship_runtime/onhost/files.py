"""Where files of a release lie on the host, and the ends of its logs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlship_runtime.bundle.tree import open_tree
from mlship_runtime.errors import SiteError
from mlship_runtime.files import last_lines
from mlship_runtime.supervision.layout import Layout
from mlship_runtime.supervision.release_record import read_record

_REACH = 4 << 20  # bytes of a log that are looked at


def do_path(layout: Layout, request: dict[str, Any]) -> dict[str, Any]:
    """The path of `file` (`golden/golden.json`) in the unpacked layers of `release`, and of its spec."""
    record = read_record(layout.record(int(request["release"])))
    return {"path": open_tree(record).path(request["file"]), "spec": record["spec"]}


def do_logs(layout: Layout, request: dict[str, Any]) -> dict[str, Any]:
    """The last `lines` lines of `file`, which must be a log of this service."""
    path = Path(request["file"])
    if path.resolve().parent != layout.logs.resolve():
        raise SiteError(f"{path} is not a log of {layout.name}")
    return {"lines": last_lines(path, int(request.get("lines", 100)), _REACH)}
