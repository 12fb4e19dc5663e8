"""A release behind a front: the first process of its container, a worker that is lent the service's port.

It asks the front every second what to do: so it serves on after a restart of its own container, of the
front's (which then has another socket) or of the whole engine, and leaves if another release is live by then.
"""

from __future__ import annotations

import asyncio
import faulthandler
import json
import os
import socket
import threading
import time
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any

from mlship_runtime.errors import RuntimeFault, SiteError
from mlship_runtime.supervision.control import Unreachable, request, request_socket
from mlship_runtime.supervision.foreground import end_when_told
from mlship_runtime.supervision.launch import report_failure
from mlship_runtime.supervision.release_record import IN_IMAGE, read_record
from mlship_runtime.supervision.shared import RELEASE, Shared, shared
from mlship_runtime.supervision.unfailing import speak_on
from mlship_runtime.supervision.worker import Worker

_ROUND = 1.0  # seconds between two questions to the front
_SOON = 0.2  # seconds after which a front that does not answer is asked again
_ORDER = 10.0  # seconds for the loop to do what the front wants
_HUNG = 70  # the exit code of a release that did nothing any more


def main(environment: Mapping[str, str]) -> int:
    """Serve the image's bundle as the release that the environment names; raises SiteError if none is."""
    faulthandler.enable(all_threads=True)
    end_when_told()
    speak_on()
    record, index = read_order(environment)
    layout = shared(str(record["service"]))
    layout.failure(record["number"]).unlink(missing_ok=True)
    try:
        return _Behind(layout, record, index).run("")
    except RuntimeFault as fault:
        return report_failure(layout.failure(record["number"]), fault)


def read_order(environment: Mapping[str, str]) -> tuple[dict[str, Any], int]:
    """The release record and the index of this worker. Raises SiteError."""
    try:
        said = json.loads(environment[RELEASE])
        own = {"number": int(said["number"]), "settings": dict(said["settings"])}
        return {**read_record(Path(IN_IMAGE)), **own}, int(said["index"])
    except (KeyError, ValueError, TypeError) as error:
        raise SiteError(f"{RELEASE} does not say which release this is", cause=str(error)) from error


class _Behind(Worker):
    """A worker whose listening socket comes from the front, and may come anew."""

    def __init__(self, layout: Shared, record: dict[str, Any], index: int) -> None:
        self._front = layout.front
        self._token = ""
        super().__init__(layout, record, index, self._borrow())
        self._hang = float(record["settings"].get("hangTimeout", 0))
        self._still = 0.0
        self._seen = -1
        threading.Thread(target=self._stay, name="front", daemon=True).start()

    def _borrow(self) -> socket.socket:
        """The listening socket, from a front that may be about to start."""
        while True:
            try:
                self._token = str(request(self._front, {"verb": "hello", "release": 0})["token"])
                return request_socket(self._front)
            except Unreachable:
                time.sleep(_SOON)

    def _stay(self) -> None:
        """On a thread of its own, until the process ends."""
        while True:
            time.sleep(_ROUND)
            if self._loop is None or self.state == "draining":
                continue
            self._watch()
            try:
                about = {"release": self._record["number"], "state": self.state}
                self._obey(request(self._front, {"verb": "hello", **about}))
            except (RuntimeFault, OSError, RuntimeError):  # no front, or no loop any more: asked again
                time.sleep(_SOON)

    def _obey(self, told: Mapping[str, Any]) -> None:
        if told["token"] != self._token:
            self._do(self._serve_anew(self._borrow()))
        if told.get("accept") and self.state == "ready":
            self._do(self._accept({}))
        if told.get("leave") and self.state == "serving":
            self._do(self._begin_drain(told["leave"]))

    async def _serve_anew(self, listener: socket.socket) -> None:
        """On another socket: that of before went with the front's network."""
        before, self._listener = self._listener, listener
        if self.state == "serving":
            self._server.stop_accepting()
            self._server.accept_on(listener)
        before.close()

    def _watch(self) -> None:
        """End a process whose loop has stood still for too long, and say in its log where: the engine starts
        it again."""
        if not self._hang or self._loop is None:
            return
        self._still = self._still + _ROUND if self.beat == self._seen else 0.0
        self._seen = self.beat
        if self._still >= self._hang:
            faulthandler.dump_traceback(all_threads=True)
            os._exit(_HUNG)
        self._loop.call_soon_threadsafe(self._turn)

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        assert self._loop is not None  # noqa: S101  `_stay` has looked
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_ORDER)
