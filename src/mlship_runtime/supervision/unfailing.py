"""Standard output and error of a worker: what cannot be written there (a full disk, a reader that has gone)
must not fail the request that wanted to say something."""

from __future__ import annotations

import sys
from typing import Any, TextIO


class Unfailing:
    """A text stream whose writing never raises; `lost` counts the writes that failed."""

    def __init__(self, stream: TextIO) -> None:
        self.lost = 0
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            self._stream.write(text)
        except (OSError, ValueError):
            self.lost += 1
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError):
            self.lost += 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def speak_on() -> None:
    """Make standard output and error of this process such streams."""
    sys.stdout, sys.stderr = Unfailing(sys.stdout), Unfailing(sys.stderr)
