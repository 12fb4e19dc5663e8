"""What a unit runs before it stops: ends the workers if the service is to stop.

Where it is only restarted, or goes because a newer version takes over, workers stay and serve on.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from mlship_runtime.errors import RuntimeFault
from mlship_runtime.files import remove
from mlship_runtime.supervision.control import request
from mlship_runtime.supervision.layout import layout_of
from mlship_runtime.supervision.systemctl import systemctl

_DRAIN = 5.0  # seconds for open connections
_PATIENCE = 60.0  # seconds for the supervisor to see all workers off


def main(service_folder: str, unit: str, scope: str) -> int:
    """End the service in `service_folder` if systemd is about to stop `unit`."""
    if is_to_stop(systemctl(scope, "list-jobs", "--plain", "--no-legend"), unit):
        layout = layout_of(Path(service_folder))
        with contextlib.suppress(RuntimeFault):  # nobody is there: then there is nothing to end
            request(layout.supervisor_socket, {"verb": "quit", "resume": True, "drain": _DRAIN}, _PATIENCE)
        remove(layout.temporary)
    return 0


def is_to_stop(jobs: str, unit: str) -> bool:
    """Whether the lines `NUMBER UNIT JOB STATE` have a job that stops `unit` for good."""
    found = [line.split() for line in jobs.splitlines()]
    return any(words[1:3] == [unit, "stop"] for words in found)
