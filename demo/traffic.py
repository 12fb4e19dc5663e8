"""Clients that keep asking while releases change: one keeps its connection, one takes a new one each time."""

from __future__ import annotations

import csv
import http.client
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PAUSE = 0.002  # seconds between two requests of a client: steady use, not a load test


def requests_of(rows: Path, limit: int = 50) -> list[bytes]:
    """The complete rows of a CSV file as one-row requests of the Open Inference Protocol."""
    with rows.open(newline="", encoding="utf-8") as file:
        complete = [row for row in csv.DictReader(file) if all(row.values())]
    return [json.dumps({"inputs": _tensors(row)}).encode() for row in complete[:limit]]


def _tensors(row: dict[str, str]) -> list[dict[str, Any]]:
    return [
        {"name": name, "datatype": "FP64", "shape": [1], "data": [float(value)]}
        for name, value in row.items()
    ]


@dataclass
class Counts:
    """What one client saw: answers by the digest that gave them, and what went wrong."""

    answers: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    slowest: float = 0.0

    @property
    def requests(self) -> int:
        return self.answers.total() + len(self.failures)


class Traffic:
    """Use as a context: clients ask from its beginning to its end; `counts` tells by client what they saw."""

    def __init__(self, url: str, model: str, bodies: list[bytes]) -> None:
        self._where, self._path, self._bodies = urlsplit(url), f"/v2/models/{model}/infer", bodies
        self._over = threading.Event()
        self.counts = {"kept connection": Counts(), "new connections": Counts()}
        self._threads = [
            threading.Thread(target=self._ask, args=(counts, keep), daemon=True)
            for counts, keep in zip(self.counts.values(), (True, False), strict=True)
        ]

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    @property
    def failures(self) -> list[str]:
        return [failure for counts in self.counts.values() for failure in counts.failures]

    def answers(self) -> Counter[str]:
        """Answers by bundle digest, of both clients."""
        return sum((counts.answers for counts in self.counts.values()), Counter())

    def _ask(self, counts: Counts, keep: bool) -> None:
        connection = self._connect()
        for turn in range(1 << 30):
            if self._over.wait(PAUSE):
                break
            began = time.monotonic()
            try:
                self._once(connection, self._bodies[turn % len(self._bodies)], counts)
            except (OSError, http.client.HTTPException, ValueError) as error:
                counts.failures.append(f"{type(error).__name__}: {error}")
                connection.close()
            counts.slowest = max(counts.slowest, time.monotonic() - began)
            if not keep:
                connection.close()
        connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self._where.hostname or "", self._where.port, timeout=10)

    def _once(self, connection: http.client.HTTPConnection, body: bytes, counts: Counts) -> None:
        connection.request("POST", self._path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = json.loads(response.read())
        digest = response.headers.get("Mlship-Bundle", "")
        if response.status != 200 or answer["model_version"] != digest:
            raise ValueError(f"HTTP {response.status}: {str(answer)[:200]}")
        counts.answers[digest] += 1
