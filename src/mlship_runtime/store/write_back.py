"""What is being written goes to the disk while more of it comes, so that the last fsync has little left."""

from __future__ import annotations

import os
import threading

_OFTEN = 32 << 20  # bytes after which the disk is told to write


class WriteBack:
    """Of one open file. The system tells an error of the disk once, so what it told a thread is kept."""

    def __init__(self, file: int) -> None:
        self._file, self._unwritten = file, 0
        self._thread: threading.Thread | None = None
        self._error: OSError | None = None

    def more(self, count: int) -> None:
        """So many bytes were written."""
        self._unwritten += count
        if self._unwritten > _OFTEN and not (self._thread and self._thread.is_alive()):
            self._unwritten = 0
            self._thread = threading.Thread(target=self._sync, name="mlship-write-back")
            self._thread.start()

    def wait(self) -> None:
        """The file may be closed afterwards."""
        if self._thread:
            self._thread.join()

    def end(self) -> None:
        """Raises the OSError that the disk told meanwhile."""
        self.wait()
        if self._error:
            raise self._error

    def _sync(self) -> None:
        try:
            os.fdatasync(self._file)
        except OSError as error:
            self._error = error
