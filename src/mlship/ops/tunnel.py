"""`mlship tunnel`: a port of this machine that leads to a service's port on its host."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable

from mlship.errors import MlshipError, TargetError
from mlship.ops.context import Context
from mlship.ops.service import open_service
from mlship.result import Result
from mlship.target.deployment import Deployment
from mlship.target.protocol import Adapter

LOOPBACK = "127.0.0.1"
_MOST = 8  # connections at once: an sshd has ten sessions for one client, unless it is told otherwise
_OPENING = 30.0  # seconds until the other end must have taken a connection
_CHUNK = 64 << 10


class Opened(Result, frozen=True, kw_only=True):
    """The local end of a tunnel, and what it leads to now."""

    target: str
    service: str
    url: str
    release: int


class Tunnel:
    """Listens from its making on. `carry` until it is interrupted; more connections than can be carried at
    once wait. Raises TargetError if nothing is live there, or the port cannot be had."""

    def __init__(self, adapter: Adapter, port: int, say: Callable[[str], None]) -> None:
        self._adapter, self._say = adapter, say
        self._opening, self._free = threading.Lock(), threading.Semaphore(_MOST)
        self._ends: set[socket.socket] = set()
        self._seen = self._observed()
        self._open().close()  # whoever cannot be reached is told of before anything waits for him
        try:
            self._listener = socket.create_server((LOOPBACK, port), backlog=128)
        except (OSError, OverflowError) as error:
            raise TargetError(
                f"port {port} of this machine cannot be opened",
                cause=getattr(error, "strerror", None) or str(error),
                fix="Choose another --port, or 0 for a free one",
            ) from error
        live = self._seen.live
        assert live is not None  # noqa: S101  or it was refused
        url = f"http://{LOOPBACK}:{self._listener.getsockname()[1]}"
        place = adapter.place
        self.opened = Opened(target=place.name, service=place.service, url=url, release=live.number)

    def carry(self) -> None:
        try:
            while True:
                self._free.acquire()
                near = self._listener.accept()[0]
                threading.Thread(target=self._carry, args=(near,), daemon=True).start()
        finally:
            self.close()

    def close(self) -> None:
        """End it, and every connection."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # whoever waits in accept is woken
        self._listener.close()
        for end in list(self._ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _carry(self, near: socket.socket) -> None:
        try:
            with near:
                self._join(near)
        finally:
            self._free.release()

    def _join(self, near: socket.socket) -> None:
        try:
            far = self._open()
        except MlshipError as error:
            self._say(str(error))
            return
        with far:
            far.settimeout(None)
            self._ends |= {near, far}
            upwards = threading.Thread(target=_pass_on, args=(near, far), daemon=True)
            upwards.start()
            _pass_on(far, near)
            upwards.join()
            self._ends -= {near, far}

    def _open(self) -> socket.socket:
        """A connection to the live release; where the service has moved meanwhile, to its new place."""
        with self._opening:
            try:
                return self._adapter.carry(self._seen, _OPENING)
            except TargetError:
                self._seen = self._observed()
                return self._adapter.carry(self._seen, _OPENING)

    def _observed(self) -> Deployment:
        seen = self._adapter.observe()
        if seen.live is None:
            raise TargetError(f"nothing is live on {self._adapter.place.name}", fix="Run mlship deploy")
        return seen


def _pass_on(source: socket.socket, to: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(_CHUNK):
            to.sendall(data)
    with contextlib.suppress(OSError):
        to.shutdown(socket.SHUT_WR)


def open_tunnel(ctx: Context, target: str | None = None, *, port: int = 0) -> Tunnel:
    """A tunnel to the live release, on a loopback port (0: a free one). Raises TargetError."""
    adapter = open_service(ctx, target).adapter
    if "tunnel" not in adapter.offers:
        raise TargetError(
            f"{adapter.place.name} has no connection to tunnel through", fix="See mlship status"
        )
    return Tunnel(adapter, port, ctx.progress.say)
