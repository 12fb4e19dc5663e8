"""Where files of a release lie on the host, and the ends of its logs."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

from mlship_runtime.bundle.tree import open_tree
from mlship_runtime.errors import SiteError
from mlship_runtime.files import last_lines
from mlship_runtime.onhost.dated import written_within
from mlship_runtime.supervision.layout import Layout
from mlship_runtime.supervision.release_record import read_record

_REACH = 4 << 20  # bytes of a log that are looked at


def do_path(layout: Layout, request: dict[str, Any]) -> dict[str, Any]:
    """The path of `file` (`golden/golden.json`) in the unpacked layers of `release`, and of its spec."""
    record = read_record(layout.record(int(request["release"])))
    return {"path": open_tree(record).path(request["file"]), "spec": record["spec"]}


def do_logs(layout: Layout, request: dict[str, Any]) -> dict[str, Any]:
    """The last `lines` lines of `file`, which must be a log of this service, of those that are
    not older than `age` seconds, if that is given."""
    path = Path(request["file"])
    if path.resolve().parent != layout.logs.resolve():
        raise SiteError(f"{path} is not a log of {layout.name}")
    count, age = int(request.get("lines", 100)), request.get("age")
    if age is None:
        return {"lines": last_lines(path, count, _REACH)}
    return {"lines": _since(path, float(age), count)[-count:]}


def _since(path: Path, seconds: float, count: int) -> list[str]:
    """Of a log that was moved away not long ago, too."""
    lines: list[str] = []
    for file in (path.with_name(path.name + ".old"), path):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - file.stat().st_mtime < seconds:
                lines += last_lines(file, count, _REACH)
    return written_within(lines, seconds)
