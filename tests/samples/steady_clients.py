"""Clients of several endpoints that ask from the beginning of a context to its end and never try again: for
each endpoint some that keep their connections, and some that take a new one each time."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

PAUSE = 0.004  # seconds between two requests of a client
_DEADLINE = 60.0  # seconds for one answer: a supervisor that starts on a busy machine takes some


class SteadyClients:
    """`answers[URL]` is the digests that answered there, in the order of their first answer to a client;
    `failures` is what went wrong: where `right` is given, also a value that is not the one of the digest that
    it came with. Some requests are answered before the context is entered, and before it is left."""

    def __init__(
        self,
        urls: Iterable[str],
        path: str,
        body: Mapping[str, Any] | None,
        right: Mapping[str, float] | None = None,
        *,
        kept: int = 1,
        once: int = 1,
    ) -> None:
        self._path, self._body = path, json.dumps(body) if body is not None else ""
        self._right = right
        self._over = threading.Event()
        self.answers: dict[str, list[str]] = {url: [] for url in urls}
        self.failures: list[str] = []
        self.count = self.connections = 0
        self._guard = threading.Lock()
        self._threads = [
            threading.Thread(target=self._ask, args=(url, keep), daemon=True)
            for url in self.answers
            for keep in (*[True] * kept, *[False] * once)
        ]

    @property
    def digests(self) -> set[str]:
        return {digest for answered in self.answers.values() for digest in answered}

    def more(self, count: int = 50) -> None:
        """Wait for so many further answers."""
        wanted, end = self.count + count, time.monotonic() + _DEADLINE
        while self.count < wanted and time.monotonic() < end:
            time.sleep(0.02)
        assert self.count >= wanted, f"{self.count} answers, {self.failures[:3]}"

    def __enter__(self) -> SteadyClients:
        for thread in self._threads:
            thread.start()
        try:
            self.more()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                self.more()
        finally:
            self._end()

    def _end(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(timeout=2 * _DEADLINE)
            assert not thread.is_alive(), "a client hangs"

    def _ask(self, url: str, keep: bool) -> None:
        where = urlsplit(url)
        connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=_DEADLINE)
        while not self._over.wait(PAUSE):
            try:
                with self._guard:
                    self.connections += connection.sock is None
                digest = self._once(connection)
            except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
                with self._guard:
                    self.failures.append(f"{url}: {type(error).__name__}: {error}")
                connection.close()
                continue
            with self._guard:
                self.count += 1
                if digest not in self.answers[url]:
                    self.answers[url].append(digest)
            if not keep:
                connection.close()
        connection.close()

    def _once(self, connection: http.client.HTTPConnection) -> str:
        connection.request("POST", self._path, self._body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        data = response.read()
        if response.status != 200:
            raise ValueError(f"HTTP {response.status}: {data[:200]!r}")
        digest = response.headers["Mlship-Bundle"]
        if self._right is not None:
            answer = json.loads(data)
            value = answer["outputs"][0]["data"][0]
            if answer["model_version"] != digest or abs(value - self._right[digest]) > 1e-3:
                raise ValueError(f"mixed: {digest[:19]} with {answer['model_version'][:19]} and {value}")
        return digest
