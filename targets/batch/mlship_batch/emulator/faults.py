"""A script of what goes wrong, read from a JSON file or set over HTTP while the emulator runs.

{"faults": [{"on": "request", "method": "PUT", "path": "/zosmf/restjobs/*", "do": "status", "status": 503},
            {"on": "job", "name": "SCORE*", "do": "abend", "code": "S0C7", "step": "RUN"},
            {"on": "data set", "name": "ML.*", "do": "in use", "times": 2}]}

Each fault strikes `times` times (1), after having let `skip` (0) pass.
"""

from __future__ import annotations

import fnmatch
import json
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

REQUEST = ("status", "drop", "drop after", "cut", "wait")
JOB = (
    "hold",
    "input",
    "abend",
    "code",
    "jcl error",
    "sec error",
    "conv error",
    "sys fail",
    "vanish",
    "active",
)
DATA_SET = ("in use", "full")
DEEDS = {"request": REQUEST, "job": JOB, "data set": DATA_SET}


@dataclass
class Fault:
    """`on` and `do` say what, `name` (of a job or data set), `method`, `path` and `step` where."""

    on: str
    do: str
    name: str = "*"
    method: str = "*"
    path: str = "*"
    step: str = "*"
    status: int = 500
    body: Any = None
    code: str = ""
    size: int = 0
    seconds: float = 0.0
    times: int = 1
    skip: int = 0


class Faults:
    """Those still to come, in their order."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left: list[Fault] = []

    def load(self, document: Any) -> None:
        """Take the place of what was there. Raises ValueError that says what is wrong with `document`."""
        entries = document.get("faults") if isinstance(document, dict) else None
        if not isinstance(entries, list):
            raise ValueError('a fault script is {"faults": [...]}')
        read = [_read(number, entry) for number, entry in enumerate(entries, 1)]
        with self._lock:
            self._left = read

    def read(self, path: Path) -> None:
        """Raises ValueError and OSError."""
        self.load(json.loads(path.read_bytes()))

    def left(self) -> list[dict[str, Any]]:
        with self._lock:
            return [asdict(fault) for fault in self._left]

    def request(self, method: str, path: str) -> Fault | None:
        return self._take("request", lambda f: _is(method, f.method) and _is(path, f.path))

    def job(self, do: tuple[str, ...], name: str, step: str = "") -> Fault | None:
        return self._take(
            "job", lambda f: f.do in do and _is(name, f.name) and (not step or _is(step, f.step))
        )

    def data_set(self, do: str, dsn: str) -> bool:
        return self._take("data set", lambda f: f.do == do and _is(dsn, f.name)) is not None

    def _take(self, on: str, fits: Any) -> Fault | None:
        with self._lock:
            for fault in self._left:
                if fault.on != on or not fits(fault):
                    continue
                if fault.skip:
                    fault.skip -= 1
                    return None
                fault.times -= 1
                if fault.times <= 0:
                    self._left.remove(fault)
                return fault
        return None


def _is(text: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(text, pattern)


def _read(number: int, entry: Any) -> Fault:
    if not isinstance(entry, dict):
        raise ValueError(f"fault {number} is no object")
    try:
        fault = Fault(**entry)
    except TypeError as error:
        raise ValueError(f"fault {number}: {str(error).removeprefix('Fault.__init__() ')}") from error
    if fault.do not in DEEDS.get(fault.on, ()):
        known = {on: ", ".join(deeds) for on, deeds in DEEDS.items()}
        raise ValueError(f"fault {number}: {fault.do!r} on {fault.on!r} is not known: {known}")
    return fault
