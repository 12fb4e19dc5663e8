"""`mlship serve --reload`: build, serve, and build and swap again whenever a file of the project changes.

This process holds the listening sockets. The next server is started beside the one that serves, and proves
itself; then the old one passes its connections to it, so that a change loses no request.
"""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mlship.config.external import External
from mlship.config.load import load_project
from mlship.config.project import LOCK_NAME
from mlship.config.sections import ServeSection
from mlship.errors import MlshipError, TargetError
from mlship.ops.build import build
from mlship.ops.context import Context
from mlship.ops.foreground import Server, address, handled
from mlship_runtime.errors import RuntimeFault
from mlship_runtime.supervision.heir import handover_socket, heir_file
from mlship_runtime.supervision.listening import bind

_LOOK = 0.3  # seconds between two looks at the project's files
_LEFT_OUT = ("__pycache__", "node_modules")
Files = dict[str, tuple[int, int]]
Prepare = Callable[[Context, Path], list[str]]


@dataclass
class _Serving:
    server: Server
    command: list[str]
    folder: Path
    settings: ServeSection
    digest: str


def serve_and_reload(ctx: Context, host: str, port: int, prepare: Prepare) -> int:
    """Serve what the project builds until a signal; `prepare(ctx, folder)` puts the last build's record into
    a folder and gives the command of a server that finds its listening socket as standard input.

    Raises what the first build raises, TargetError if the port is taken or the bundle does not run here.
    Later failures are told, and what served goes on.
    """
    with (
        _bound(host, port) as listener,
        tempfile.TemporaryDirectory(prefix="mlship-serve-") as scratch,
        handled(_interrupt),
    ):
        return _Reloading(ctx, listener, Path(scratch), prepare).run()


def _bound(host: str, port: int) -> socket.socket:
    try:
        return bind(host, port)
    except RuntimeFault as fault:
        raise TargetError(fault.what, cause=fault.cause, fix=fault.fix) from fault


class _Reloading:
    def __init__(self, ctx: Context, listener: socket.socket, scratch: Path, prepare: Prepare) -> None:
        self._ctx, self._listener, self._scratch, self._prepare = ctx, listener, scratch, prepare
        self._external: socket.socket | None = None
        self._place: dict[str, Any] | None = None
        self._root = ctx.project_or_error().root
        self._now: _Serving | None = None
        self._old: list[Server] = []
        self._count = 0

    def run(self) -> int:
        """Until a signal; 0 if something was served by then."""
        try:
            seen = snapshot(self._root)
            self._swap()
            while True:
                self._look_after()
                if snapshot(self._root) != seen:
                    seen = settled(self._root)
                    self._try_swap()
                time.sleep(_LOOK)
        except KeyboardInterrupt:
            if self._now is None:
                raise
            return 0
        finally:
            for server in [*self._old, *([self._now.server] if self._now else [])]:
                server.end()
            if self._external is not None:
                self._external.close()

    def _try_swap(self) -> None:
        say = self._ctx.progress.say
        try:
            if not self._swap():
                say("nothing that is served has changed")
        except MlshipError as error:
            say(f"not taken, the bundle before goes on serving: {error}")

    def _swap(self) -> bool:
        """Build, and serve that if it is another bundle or [serve] says something else."""
        project = load_project(self._root)
        ctx = replace(self._ctx, project=project)
        digest = build(ctx).digest
        if self._now is not None and (self._now.digest, self._now.settings) == (digest, project.serve):
            return False
        self._serve(ctx, project.serve, digest)
        return True

    def _serve(self, ctx: Context, settings: ServeSection, digest: str) -> None:
        """Start a server of the last build, and let the one before pass its connections to it."""
        self._count += 1
        folder = self._scratch / str(self._count)
        folder.mkdir()
        command = self._prepare(ctx, folder)
        self._open(settings.external)
        before, self._now = self._now, self._started(command, folder, settings, digest)
        if before is not None:
            heir_file(before.folder).write_text(str(handover_socket(folder)), encoding="utf-8")
            before.server.terminate()
            self._old.append(before.server)

    def _open(self, external: External | None) -> None:
        """Have the external listener where it is wanted now."""
        place = external.place if external is not None else None
        if place == self._place:
            return
        opened = _bound(place["host"], place["port"]) if place is not None else None
        if self._external is not None:
            self._external.close()
        self._external, self._place = opened, place

    def _started(self, command: list[str], folder: Path, settings: ServeSection, digest: str) -> _Serving:
        server = Server(command, self._listener, self._external)
        try:
            said = server.until_ready()
            if said is None:
                raise TargetError("the server ended before it was ready", cause=f"exit code {server.wait()}")
        except BaseException:
            server.end()
            raise
        self._ctx.progress.say(f"{digest[:19]} answers at {address(said)}; Ctrl-C ends it")
        return _Serving(server, command, folder, settings, digest)

    def _look_after(self) -> None:
        """Forget servers that have handed over; start the current one again if it has died: its clients wait
        in the queue of the socket."""
        for server in [server for server in self._old if server.exit_code is not None]:
            server.end()
            self._old.remove(server)
        now = self._now
        if now is not None and now.server.exit_code is not None:
            now.server.end()
            self._ctx.progress.say(f"the server ended with {now.server.exit_code}, and is started again")
            self._now = self._started(now.command, now.folder, now.settings, now.digest)


def settled(root: Path) -> Files:
    """The files, once two looks in a row have seen the same: an editor or `git checkout` writes several."""
    before = snapshot(root)
    while True:
        time.sleep(_LOOK)
        now = snapshot(root)
        if now == before:
            return now
        before = now


def snapshot(root: Path) -> Files:
    """Time and size of each file below `root` that a build may read: nothing hidden, no lock, no byte
    code."""
    found: Files = {}
    for folder, names, files in os.walk(root):
        names[:] = [name for name in names if not name.startswith(".") and name not in _LEFT_OUT]
        for name in files:
            if name.startswith(".") or (name == LOCK_NAME and folder == str(root)):
                continue
            path = os.path.join(folder, name)  # noqa: PTH118 - as quick as this can be
            try:
                state = os.stat(path)  # noqa: PTH116
            except OSError:  # gone since it was listed
                continue
            found[path] = (state.st_mtime_ns, state.st_size)
    return found


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt
