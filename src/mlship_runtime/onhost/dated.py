"""Which lines of a log are young enough."""

from __future__ import annotations

import calendar
import re
import time
from collections.abc import Sequence

_TIME = re.compile(r'\{"time": "(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?Z"')


def written_within(lines: Sequence[str], seconds: float) -> list[str]:
    """Those after the last one that says it was written earlier than so many seconds ago, by the clock of
    this machine. A line that says nothing of its time stands between two that do: none is left out that may
    be young enough."""
    earliest = time.time() - seconds
    older = [at for at, line in enumerate(lines) if (written := _written(line)) and written < earliest]
    return list(lines[older[-1] + 1 :]) if older else list(lines)


def _written(line: str) -> float | None:
    found = _TIME.match(line)
    if not found:
        return None
    try:
        whole = calendar.timegm(time.strptime(found[1], "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        return None
    return whole + float(found[2] or 0)
