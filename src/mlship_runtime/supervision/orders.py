"""The orders that a supervisor takes: status, start, shift, stop, leave, quit."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from mlship_runtime.errors import SiteError
from mlship_runtime.supervision import fence
from mlship_runtime.supervision.health import waiting_on
from mlship_runtime.supervision.listening import place_of
from mlship_runtime.supervision.service import Service
from mlship_runtime.supervision.spawn import BOOT

_STOP_DRAIN = 5.0  # seconds


class Orders:
    """`finished` is set by the orders to leave and to quit."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._turn = asyncio.Lock()
        self.finished = asyncio.Event()

    async def handle(self, message: dict[str, Any]) -> dict[str, Any]:
        """Carry out one order; raises RuntimeFault."""
        order = getattr(self, f"_order_{message.get('verb')}", None)
        if order is None:
            raise SiteError(f"the supervisor knows no order {message.get('verb')!r}")
        if message.get("verb") != "status":
            fence.admit(self._service.layout, message.get("fence"))
        answer: dict[str, Any] = await order(message)
        return answer

    async def _order_status(self, message: dict[str, Any]) -> dict[str, Any]:
        host, port = self._service.listener.getsockname()[:2]
        return {
            "pid": os.getpid(),
            "code": str(BOOT),
            "host": host,
            "port": port,
            "external": place_of(self._service.external),
            "waiting": waiting_on(self._service.listener),
            "live": self._service.live,
            "releases": self._service.status(),
        }

    async def _order_start(self, message: dict[str, Any]) -> dict[str, Any]:
        release = await self._service.start(int(message["release"]), message.get("timeout"))
        return {"state": release.state, "workers": release.workers()}

    async def _order_shift(self, message: dict[str, Any]) -> dict[str, Any]:
        async with self._turn:
            fence.admit(self._service.layout, message.get("fence"))
            drained = await self._service.shift(int(message["release"]), message.get("drain"))
        return {"live": self._service.live, "draining": drained}

    async def _order_stop(self, message: dict[str, Any]) -> dict[str, Any]:
        async with self._turn:
            fence.admit(self._service.layout, message.get("fence"))
            await self._service.stop(int(message["release"]), float(message.get("drain", _STOP_DRAIN)))
        return {}

    async def _order_leave(self, message: dict[str, Any]) -> dict[str, Any]:
        """Go without touching the workers: another supervisor takes over."""
        self.finished.set()
        return {}

    async def _order_quit(self, message: dict[str, Any]) -> dict[str, Any]:
        """End every worker, then go. With `resume`, the next supervisor starts the live release again."""
        async with self._turn:
            drain = float(message.get("drain", _STOP_DRAIN))
            numbers = [release["number"] for release in self._service.status()]
            end = self._service.rest if message.get("resume") else self._service.stop
            await asyncio.gather(*(end(number, drain) for number in numbers))
        self.finished.set()
        return {}
