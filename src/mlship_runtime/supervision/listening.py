"""The one listening socket of a service: bound once, held by the supervisor, inherited by every release.

It is never closed by all holders at once while a release serves, so that no queued connection is lost
(never SO_REUSEPORT: there each socket has a queue of its own, which dies with it).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
from typing import Any

from mlship_runtime.errors import SiteError

BACKLOG = 1024
PORT_OF_CONTAINER = 8080  # where services that start containers look for them
EXTERNAL = "MLSHIP_EXTERNAL_FD"  # names the descriptor of the external listener, where there is one
INHERITED = 3  # the descriptor that a release finds it at (sd_listen_fds(3))
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104  compared, not bound


def bind(host: str, port: int) -> socket.socket:
    """A non-blocking listening socket on `host`:`port` (port 0: a free one). Raises SiteError."""
    if not 0 <= port < 1 << 16:
        raise SiteError(f"{port} is no port", fix="Set a `port` from 1024 to 65535, or 0 for a free one")
    family, kind, _, _, address = _resolved(host, port)
    listener = socket.socket(family, kind)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise _refused(host, port, error) from error
    return listener


def _resolved(host: str, port: int) -> Any:
    try:
        return socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (OSError, OverflowError) as error:
        raise SiteError(f"{host!r} is no address to listen on", cause=str(error), fix="Set `host`") from error


def free(host: str, port: int) -> int:
    """`port`, or a free one for 0, which can be opened on `host`. Raises SiteError."""
    with bind(host, port) as trial:
        return int(trial.getsockname()[1])


def numeric(host: str) -> str:
    """The address that `bind` takes for `host`. Raises SiteError."""
    return str(_resolved(host, 0)[-1][0])


def _refused(host: str, port: int, error: OSError) -> SiteError:
    what = f"port {port} on {host} cannot be opened"
    if error.errno == errno.EADDRINUSE:
        fix = f"Stop it (`ss -ltnp 'sport = :{port}'` shows it) or set another `port`"
        return SiteError(what, cause="another program listens there", fix=fix)
    if error.errno == errno.EACCES:
        return SiteError(what, cause="only root may open ports below 1024", fix="Set a `port` from 1024 on")
    if error.errno == errno.EADDRNOTAVAIL:
        return SiteError(what, cause="this machine does not have that address", fix="Set another `host`")
    return SiteError(what, cause=error.strerror or str(error))


def reach(host: str) -> str:
    """The address at which this machine reaches a service that listens on `host`."""
    return _EVERYWHERE.get(host, host)


def place_of(listener: socket.socket | None) -> dict[str, Any] | None:
    """Host and port of a listening socket."""
    if listener is None:
        return None
    host, port = listener.getsockname()[:2]
    return {"host": host, "port": port}


def passed() -> dict[str, socket.socket]:
    """The listening sockets that systemd passed to this process, by their names (sd_listen_fds(3)); none
    where it was started by other means."""
    count = os.environ.get("LISTEN_FDS", "")
    if not count.isdigit() or os.environ.get("LISTEN_PID") != str(os.getpid()):
        return {}
    found = {}
    for number, name in enumerate(os.environ.get("LISTEN_FDNAMES", "").split(":")[: int(count)], INHERITED):
        found[name] = socket.socket(fileno=number)
        found[name].setblocking(False)
        found[name].set_inheritable(False)
    return found


def inherited_external() -> socket.socket | None:
    """The external listener, if one was handed on."""
    number = os.environ.get(EXTERNAL, "")
    if not number.isdigit():
        return None
    found = socket.socket(fileno=int(number))
    found.setblocking(False)
    found.set_inheritable(False)
    return found


def inherited() -> socket.socket:
    """The listening socket that was handed to this process as descriptor 3, as systemd does it."""
    count, owner = os.environ.get("LISTEN_FDS", ""), os.environ.get("LISTEN_PID", "")
    if count != "1" or owner != str(os.getpid()):
        raise SiteError("no listening socket was handed on", cause="LISTEN_FDS or LISTEN_PID is wrong")
    try:
        found = socket.socket(fileno=INHERITED)
    except OSError as error:
        raise SiteError("no listening socket was handed on", cause=str(error)) from error
    found.setblocking(False)
    found.set_inheritable(False)
    return found


def take_from_stdin() -> None:
    """Move a listening socket that was passed as standard input to descriptor 3 and say so in the
    environment, for the program that this process becomes."""
    external = os.environ.get(EXTERNAL, "")
    if external.isdigit():  # out of the way first: it may be descriptor 3 itself
        moved = fcntl.fcntl(int(external), fcntl.F_DUPFD, INHERITED + 1)
        os.close(int(external))
        os.environ[EXTERNAL] = str(moved)
    os.dup2(0, INHERITED, inheritable=True)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    with contextlib.suppress(OSError):
        if null > INHERITED:
            os.close(null)
    os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
