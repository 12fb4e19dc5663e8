"""The last lines that the containers of a release wrote, in the order in which they were written."""

from __future__ import annotations

import time
from typing import Any

from mlship_docker.engine import Engine


def last_lines(
    engine: Engine, containers: list[dict[str, Any]], lines: int, within: float | None = None
) -> list[str]:
    """Of all of them together, `within` so many seconds. Raises TargetError, also where the engine
    keeps its logs elsewhere."""
    found: list[tuple[str, str]] = []
    since = None if within is None else time.time() - within
    with engine.asked("the log cannot be read", fix="See how the engine keeps logs: docker info"):
        for container in containers:
            data = engine.api.logs(container["Id"], tail=lines, timestamps=True, since=since)
            for line in data.decode(errors="replace").splitlines():
                stamp, _, text = line.partition(" ")
                found.append((stamp, text))
    return [text for _, text in sorted(found, key=lambda entry: entry[0])[-lines:]]
