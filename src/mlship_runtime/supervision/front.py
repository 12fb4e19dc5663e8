"""The front of a service in containers: the process that keeps its published port and lends it to releases.

Releases run in containers of their own. They get the listening socket through a shared folder (SCM_RIGHTS)
and accept on it themselves, so a request passes through nothing of the front. It moves traffic between them
as the supervisor of a host does, and remembers in the folder which one is live.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from typing import Any

from mlship_runtime.errors import NotReady, RuntimeFault, SiteError
from mlship_runtime.files import make_folder, read_numbered, remove
from mlship_runtime.supervision import fence, listening
from mlship_runtime.supervision.control import request
from mlship_runtime.supervision.control_server import ControlServer
from mlship_runtime.supervision.eventlog import EventLog
from mlship_runtime.supervision.health import waiting_on
from mlship_runtime.supervision.layout import WorkerSockets
from mlship_runtime.supervision.live import forget, read_live, set_live
from mlship_runtime.supervision.probe import digest_on_socket
from mlship_runtime.supervision.shared import Shared, shared

_ALL = "0.0.0.0"  # noqa: S104  what is published is for the engine to say
_ASK = 3.0  # seconds for a worker to say how it is
_LOOK = 0.05  # seconds between two looks at workers that are to become ready
_UNDO_DRAIN = 5.0  # seconds for connections that a release took before its switch failed
_STRAY_DRAIN = 75.0  # seconds for those of a worker that serves although it should not


def main() -> int:
    """Keep the port of this container until SIGTERM. Raises SiteError if it cannot be opened."""
    return asyncio.run(_keep(shared()))


async def _keep(layout: Shared) -> int:
    make_folder(layout.run)
    make_folder(layout.logs)
    events = EventLog(layout.events)
    listener = listening.bind(_ALL, listening.PORT_OF_CONTAINER)
    finished, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, finished.set)
    server = ControlServer(layout.front, Front(layout, listener, events).handle)
    await server.start()
    sys.stderr.write("the front keeps port " + str(listening.PORT_OF_CONTAINER) + "\n")
    events.note("front started")
    await finished.wait()
    await server.close()
    events.note("front left")
    return 0


class Front:
    """Takes orders: hello and socket from releases; status, ready, take, shift, forget from deployers."""

    def __init__(self, layout: Shared, listener: socket.socket, events: EventLog) -> None:
        self._layout, self._listener, self._events = layout, listener, events
        self._turn = asyncio.Lock()
        self._token = os.urandom(8).hex()  # another one after each start: then there is another socket, too

    async def handle(self, message: dict[str, Any]) -> dict[str, Any]:
        """Carry out one order; raises RuntimeFault."""
        order = getattr(self, f"_order_{message.get('verb')}", None)
        if order is None:
            raise SiteError(f"the front knows no order {message.get('verb')!r}")
        if "fence" in message:
            fence.admit(self._layout, int(message["fence"]))
        answer: dict[str, Any] = await order(message)
        return answer

    async def _order_socket(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"descriptor": self._listener.fileno()}

    async def _order_hello(self, message: dict[str, Any]) -> dict[str, Any]:
        """What a worker that is `state` is to do: `accept`, or `leave` to another one; nothing while traffic
        is being moved."""
        told: dict[str, Any] = {"token": self._token}
        live = read_live(self._layout).release
        if self._turn.locked() or live is None:
            return told
        if live == int(message["release"]):
            return {**told, "accept": True}
        if message.get("state") == "serving":
            heirs = [str(sockets.handover) for sockets in self._sockets(live)]
            told["leave"] = {"handover": heirs[0] if heirs else None, "deadline": _STRAY_DRAIN}
        return told

    async def _order_status(self, _: dict[str, Any]) -> dict[str, Any]:
        live = read_live(self._layout)
        workers = await self._workers()
        numbers = self._layout.logs.glob("*.error.json")
        failures = {name: self._failure(int(name)) for name in (path.name.split(".")[0] for path in numbers)}
        return {
            "live": live.release,
            "served": sorted(live.served),
            "fence": fence.highest(self._layout),
            "waiting": waiting_on(self._listener),
            "workers": workers,
            "failures": failures,
        }

    async def _order_ready(self, message: dict[str, Any]) -> dict[str, Any]:
        """Whether all workers of a release are ready, as soon as they are, or after `within` seconds."""
        number, count = int(message["release"]), int(message["workers"])
        loop = asyncio.get_running_loop()
        end = loop.time() + float(message["within"])
        while True:
            ready = len(self._ready(await self._workers(number)))
            failure = self._failure(number)
            if ready >= count or failure or loop.time() >= end:
                return {"ready": ready >= count, "error": failure}
            await asyncio.sleep(_LOOK)

    async def _order_take(self, _: dict[str, Any]) -> dict[str, Any]:
        return {}

    async def _order_shift(self, message: dict[str, Any]) -> dict[str, Any]:
        """Give the port to a release: its workers accept and answer as the right bundle, that is written
        down, then those of others hand on what they have."""
        number, count = int(message["release"]), int(message["workers"])
        async with self._turn:
            workers = await self._workers()
            coming = self._ready([worker for worker in workers if worker["number"] == number])
            if len(coming) < count:
                raise NotReady(
                    f"release {number} is not ready", cause=f"{len(coming)} of {count} of its workers are"
                )
            others = [worker for worker in workers if worker["number"] != number]
            serving = [worker for worker in others if worker["state"] == "serving"]
            before = read_live(self._layout).release
            try:
                for worker in coming:
                    await self._ask(worker, {"verb": "accept"})
                    await self._check(worker, str(message["digest"]))
                set_live(self._layout, number)
            except (OSError, RuntimeFault):
                if before != number:
                    await self._drain(coming, serving, _UNDO_DRAIN)
                raise
            self._events.note("shifted", release=number, digest=message["digest"])
            await self._drain(serving, coming, float(message["drain"]))
        return {"live": number, "draining": sorted({worker["number"] for worker in serving})}

    async def _order_forget(self, message: dict[str, Any]) -> dict[str, Any]:
        """Strike releases whose containers are gone, with all that they left here."""
        releases = {int(number) for number in message["releases"]}
        async with self._turn:
            forget(self._layout, releases)
            for sockets in self._layout.found_workers():
                if sockets.number in releases:
                    sockets.unlink()
            for number in releases:
                for path in (self._layout.failure(number), self._layout.counters(number)):
                    remove(path)
        return {}

    def _failure(self, number: int) -> dict[str, Any] | None:
        written = read_numbered(self._layout.failure(number))
        return written["error"] if written else None

    def _sockets(self, number: int | None = None) -> list[WorkerSockets]:
        return [found for found in self._layout.found_workers() if number in (None, found.number)]

    async def _workers(self, number: int | None = None) -> list[dict[str, Any]]:
        """The workers (of one release) that answer, each with what it says of itself."""
        asked = (asyncio.to_thread(_status, sockets) for sockets in self._sockets(number))
        return [worker for worker in await asyncio.gather(*asked) if worker]

    @staticmethod
    def _ready(workers: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [worker for worker in workers if worker["state"] in ("ready", "serving")]

    async def _ask(self, worker: dict[str, Any], message: dict[str, Any]) -> None:
        await asyncio.to_thread(request, _of(self._layout, worker).control, message)

    async def _check(self, worker: dict[str, Any], digest: str) -> None:
        answered = await asyncio.to_thread(digest_on_socket, _of(self._layout, worker).web)
        if answered != digest:
            raise NotReady(
                f"release {worker['number']} answers as another bundle",
                cause=f"{answered[:19]}, not {digest[:19]}",
            )

    async def _drain(
        self, leaving: list[dict[str, Any]], heirs: list[dict[str, Any]], deadline: float
    ) -> None:
        """Let workers hand on their connections; one that is gone has none."""
        for position, worker in enumerate(leaving):
            heir = _of(self._layout, heirs[position % len(heirs)]) if heirs else None
            order = {"verb": "drain", "handover": heir and str(heir.handover), "deadline": deadline}
            try:
                await self._ask(worker, order)
            except RuntimeFault as fault:
                self._events.note("not drained", release=worker["number"], error=str(fault))


def _status(sockets: WorkerSockets) -> dict[str, Any] | None:
    try:
        told = request(sockets.control, {"verb": "status"}, timeout=_ASK)
    except RuntimeFault:
        return None
    about = {key: told.get(key) for key in ("state", "digest", "beat")}
    return {"number": sockets.number, "index": sockets.index, "socket": sockets.web.name, **about}


def _of(layout: Shared, worker: dict[str, Any]) -> WorkerSockets:
    return layout.sockets(worker["number"], worker["index"])
