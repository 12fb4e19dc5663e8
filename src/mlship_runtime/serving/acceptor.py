"""Accepts connections from a listening socket that other processes may accept from too."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from pathlib import Path
from typing import Callable

_PER_TURN = 16
_PAUSE = 0.1  # seconds without accepting when the process is out of descriptors


class Acceptor:
    """Watches `listener` (which stays the caller's) and passes on each connection, non-blocking, at most
    16 per turn of the loop. Stopping is synchronous: nothing is accepted behind the caller's back."""

    def __init__(self, listener: socket.socket, take: Callable[[socket.socket], None]) -> None:
        listener.setblocking(False)
        self.listener = listener
        self._take = take
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._watching = False
        self._watch()

    def stop(self) -> None:
        """Accept no more, for good or until `resume`: clients wait in the kernel's queue."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._loop.remove_reader(self.listener)
        self._watching = False

    def resume(self) -> None:
        if not self._watching and self._timer is None:
            self._watch()

    def _watch(self) -> None:
        self._timer, self._watching = None, True
        self._loop.add_reader(self.listener, self._accept)

    def _accept(self) -> None:
        for _ in range(_PER_TURN):
            if not self._watching:  # stopped by what was accepted last
                return
            try:
                connection, _address = self.listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:  # EMFILE, ENFILE, ENOBUFS: clients wait in the queue meanwhile
                sys.stderr.write(f"cannot accept: {error}\n")
                self.stop()
                self._timer = self._loop.call_later(_PAUSE, self._watch)
                return
            connection.setblocking(False)
            if connection.family != socket.AF_UNIX:
                with contextlib.suppress(OSError):  # a peer that vanished is found out in the end
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            self._take(connection)


def listen_unix(path: str, kind: int = socket.SOCK_STREAM) -> socket.socket:
    """A listening Unix socket at `path`, for this user alone; what lay there before is removed."""
    listener = socket.socket(socket.AF_UNIX, kind)
    try:
        Path(path).unlink(missing_ok=True)
        listener.bind(path)
        Path(path).chmod(0o600)  # before `listen`: nobody can connect until then
        listener.listen(64)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener
