"""A child process of this one, spoken with while it runs."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Sequence

from mlship_runtime.pipes import widen


class ChildProcess:
    """See Process. It has a session of its own: Ctrl-C here is not for it. Raises OSError if it cannot be
    started."""

    def __init__(self, argv: Sequence[str]) -> None:
        pipe = subprocess.PIPE
        self._child = subprocess.Popen(
            list(argv), stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0, start_new_session=True
        )
        assert self._child.stdin is not None  # noqa: S101  each stream is a pipe
        assert self._child.stdout is not None  # noqa: S101
        assert self._child.stderr is not None  # noqa: S101
        widen(self._child.stdin.fileno())
        self._in, self._out, self._err = self._child.stdin, self._child.stdout, self._child.stderr

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._in.fileno(), view) :]

    def read(self, most: int) -> bytes:
        return os.read(self._out.fileno(), most)

    def read_error(self, most: int) -> bytes:
        return os.read(self._err.fileno(), most)

    def end_input(self) -> None:
        self._in.close()

    def wait(self) -> int | None:
        code = self._child.wait()
        self.close()
        return code if code >= 0 else None

    def close(self) -> None:
        """It is ended first, so that whoever reads its streams comes to their end; then they are closed."""
        self._child.kill()
        self._child.wait()
        for stream in (self._in, self._out, self._err):
            with contextlib.suppress(OSError):
                stream.close()
