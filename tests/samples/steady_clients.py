"""Clients of several endpoints that ask from the beginning of a context to its end and never try again: for
each endpoint one that keeps its connection, and one that takes a new one each time."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

PAUSE = 0.004  # seconds between two requests of a client


class SteadyClients:
    """`answers[URL]` is the digests that answered there, in the order of their first answer to a client;
    `failures` is what went wrong: also a value that is not the one of the digest that it came with."""

    def __init__(
        self, urls: Iterable[str], path: str, body: Mapping[str, Any], right: Mapping[str, float]
    ) -> None:
        self._path, self._body, self._right = path, json.dumps(body), dict(right)
        self._over = threading.Event()
        self.answers: dict[str, list[str]] = {url: [] for url in urls}
        self.failures: list[str] = []
        self.count = 0
        self._guard = threading.Lock()
        self._threads = [
            threading.Thread(target=self._ask, args=(url, keep), daemon=True)
            for url in self.answers
            for keep in (True, False)
        ]

    def __enter__(self) -> SteadyClients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(timeout=60)
            assert not thread.is_alive(), "a client hangs"

    def _ask(self, url: str, keep: bool) -> None:
        where = urlsplit(url)
        connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=60)
        while not self._over.wait(PAUSE):
            try:
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
        answer = json.loads(data)
        digest = response.headers["Mlship-Bundle"]
        value = answer["outputs"][0]["data"][0]
        if answer["model_version"] != digest or abs(value - self._right[digest]) > 1e-3:
            raise ValueError(f"mixed: {digest[:19]} with {answer['model_version'][:19]} and {value}")
        return digest
