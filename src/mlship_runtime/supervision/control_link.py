"""The client's end of a control connection that is kept open: the supervisor's hold on a worker."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any

from mlship_runtime.supervision.control import LINE_LIMIT, SCHEMA, Unreachable, fault_of, line_of


class Link:
    """A control connection that is kept: its end is how a worker's death is noticed, adopted ones' too."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: Path) -> None:
        self._reader, self._writer, self._path = reader, writer, path
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._last = 0
        self.lost = asyncio.Event()
        self._task = asyncio.ensure_future(self._read())

    @classmethod
    async def open(cls, path: Path) -> Link:
        """Connect to `path`; raises Unreachable."""
        try:
            reader, writer = await asyncio.open_unix_connection(str(path), limit=LINE_LIMIT)
        except OSError as error:
            raise Unreachable(f"nobody listens on {path}", cause=error.strerror or str(error)) from error
        return cls(reader, writer, path)

    async def ask(self, verb: str, timeout: float = 10.0, **fields: Any) -> dict[str, Any]:
        """One request; raises Unreachable, or the fault that the other end answers with."""
        if self.lost.is_set():
            raise Unreachable(f"{self._path} was closed")
        self._last += 1
        number = self._last
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            self._writer.write(line_of({"schemaVersion": SCHEMA, "id": number, "verb": verb, **fields}))
            return await asyncio.wait_for(future, timeout)
        except (asyncio.TimeoutError, ConnectionError) as error:
            raise Unreachable(f"{self._path} did not answer in {timeout:g} s") from error
        finally:
            del self._waiting[number]

    async def close(self) -> None:
        self._writer.close()
        await self._task

    async def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while True:
                line = await self._reader.readline()
                if not line:
                    break
                self._settle(json.loads(line))
        self.lost.set()
        self._writer.close()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(Unreachable(f"{self._path} was closed"))

    def _settle(self, answer: dict[str, Any]) -> None:
        future = self._waiting.get(answer.get("id", 0))
        if future is None or future.done():
            return
        if answer.get("ok") is True:
            future.set_result(answer)
        else:
            future.set_exception(fault_of(answer.get("error") or {}))
