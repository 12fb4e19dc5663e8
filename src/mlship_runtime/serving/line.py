"""The line in front of the model: first come, first served, of bounded length and bounded waiting.

What comes in one turn of the event loop is read first and answered then, in slices, so that the cheap
answers (health, metadata, "come again later") never wait for more than one slice.
"""

from __future__ import annotations

import asyncio
import collections
from time import perf_counter
from typing import Any, Callable, Protocol

from mlship_runtime.serving.answer import Answer, Application
from mlship_runtime.serving.limits import Limits

SLICE = 0.005  # seconds of answering between two looks at the sockets
SHORT = 8  # a line of so few is no overload: they may wait as long as a request may take

# (method, target, headers, body, connection line), or (None, None, Answer or bytes, b"", connection line) for
# what was decided without the model but must keep its place in the order.
Request = tuple[Any, Any, Any, Any, bytes]


class Waiter(Protocol):
    """A connection that has one request in the line."""

    gone: bool

    def answered(self, answer: Any, request: Request) -> Request | None:
        """Take the answer; returns the next request that wants one at once."""

    def flush(self) -> None: ...


class Line:
    """`held` are the bytes of bodies that wait or are incomplete, which connections keep up to date."""

    def __init__(self, application: Application, limits: Limits) -> None:
        self.held = 0
        self._application, self._left = application, 0
        self._answer: Callable[..., Answer] = application.answer
        self._refuse = application.refuse
        self._limits = limits
        self._most, self._patience = limits.queue, limits.queue_time
        self._waiters: collections.deque[tuple[Waiter, float, Request]] = collections.deque()
        self._loop = asyncio.get_running_loop()
        self._now = 0.0

    def __len__(self) -> int:
        return len(self._waiters)

    def add(self, waiter: Waiter, request: Request) -> bool:
        """Put the request at the end of the line; False if that is too long already. The wait is measured
        from the end of the slice before: all that is read between two slices came at one time."""
        waiters = self._waiters
        if not waiters:
            self._now = perf_counter()
            self._begin()
        elif len(waiters) >= self._most or self.held > self._limits.buffered:
            return False
        waiters.append((waiter, self._now, request))
        self.held += len(request[3])
        return True

    def _begin(self) -> None:
        """The first request of a turn has come."""
        self._loop.call_soon(self._serve)

    def too_busy(self) -> Answer:
        """The answer to what cannot wait here."""
        return self._refuse(503, "more requests are waiting than can be answered in time: try again")

    def _serve(self) -> None:
        waiters, patience, now = self._waiters, self._patience, perf_counter()
        end = now + SLICE
        try:
            while waiters and now < end:
                waiter, since, request = waiters.popleft()
                method, target, headers, body, _ = request
                self.held -= len(body)
                if waiter.gone:
                    continue
                if method is None or now - since > patience:
                    answer = self._decide(request, now - since)
                else:
                    answer = self._answer(method, target, headers, body)
                following = waiter.answered(answer, request)
                now = perf_counter()
                if following is not None:
                    self._go_on(waiter, since, following, now < end)
        finally:  # whatever went wrong with one, the others must not wait for ever
            self._rest(now)

    def _rest(self, now: float) -> None:
        """A slice has ended; what it left is served in another one."""
        self._now, left = now, len(self._waiters)
        if left:
            self._loop.call_soon(self._pass, 2)
        if left != self._left:
            self._left = self._application.waiting = left

    def _go_on(self, waiter: Waiter, since: float, request: Request, at_once: bool) -> None:
        """Let the waiter's next request follow, in this slice at once, in the next one behind the others."""
        self.held += len(request[3])
        if at_once:
            self._waiters.appendleft((waiter, since, request))
        else:
            self._waiters.append((waiter, since, request))
            waiter.flush()

    def _pass(self, turns: int) -> None:
        """Before the next slice, a turn of the loop for what the sockets have, and one for what follows."""
        if turns:
            self._loop.call_soon(self._pass, turns - 1)
        else:
            self._serve()

    def _decide(self, request: Request, waited: float) -> Any:
        """For what needs no model, or has waited long."""
        method, target, headers, body, _ = request
        if method is None:
            return headers
        if len(self._waiters) >= SHORT or waited > self._limits.request_time:
            return self.too_busy()
        return self._answer(method, target, headers, body)
