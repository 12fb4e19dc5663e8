"""Clients that keep their connections, count them, and never try again."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_DEADLINE = 60.0  # seconds for one answer: a supervisor that starts on a busy machine takes some


@dataclass
class Steady:
    """What the clients have met so far."""

    answered: int = 0
    connections: int = 0
    failed: list[str] = field(default_factory=list)
    digests: set[str] = field(default_factory=set)
    over: threading.Event = field(default_factory=threading.Event)

    def more(self, count: int = 50) -> None:
        """Wait for so many further answers."""
        wanted, end = self.answered + count, time.monotonic() + _DEADLINE
        while self.answered < wanted and time.monotonic() < end:
            time.sleep(0.02)
        assert self.answered >= wanted, f"{self.answered} answers, {self.failed[:3]}"


@contextmanager
def kept_connections(host: str, port: int, target: str, body: bytes, count: int = 6) -> Iterator[Steady]:
    seen = Steady()
    clients = [threading.Thread(target=_ask, args=(seen, host, port, target, body)) for _ in range(count)]
    for client in clients:
        client.start()
    try:
        seen.more()
        yield seen
        seen.more()
    finally:
        seen.over.set()
        for client in clients:
            client.join()


def _ask(seen: Steady, host: str, port: int, target: str, body: bytes) -> None:
    while not seen.over.is_set():
        connection = http.client.HTTPConnection(host, port, timeout=_DEADLINE)
        try:
            connection.connect()
            seen.connections += 1
            _ask_on(seen, connection, target, body)
        except (OSError, http.client.HTTPException) as error:
            seen.failed.append(repr(error))
            time.sleep(0.05)
        finally:
            connection.close()


def _ask_on(seen: Steady, connection: http.client.HTTPConnection, target: str, body: bytes) -> None:
    """One connection, until the server says that it was the last answer on it."""
    while not seen.over.is_set():
        connection.request("POST", target, body)
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            seen.failed.append(str(answer.status))
        seen.answered += 1
        seen.digests.add(answer.headers["Mlship-Bundle"])
        if answer.headers["Connection"] == "close":
            return
        time.sleep(0.01)
