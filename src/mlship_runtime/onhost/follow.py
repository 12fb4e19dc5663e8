"""A service's logs as they grow, for as long as somebody listens: `boot.py host follow`.

The request is one line of JSON on standard input, which stays open: its end is the end of this program, so
that nothing stays when whoever asked is gone. Answers are lines of JSON: first {"places": {…}}, then
{"release": N, "live": bool} for another release, {"release": N, "lines": […], "place": …}, {} now
and then where there is nothing to say, and {"ok": false, "error": …} for a request that is refused.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from collections.abc import Iterator
from typing import Any, Optional

from mlship_runtime.errors import RuntimeFault, SiteError
from mlship_runtime.onhost.dated import written_within
from mlship_runtime.onhost.tail import Tail
from mlship_runtime.supervision.layout import Layout
from mlship_runtime.supervision.live import read_live

_PAUSE = 0.2  # seconds between two looks
_ALIVE = 10.0  # seconds of silence at most
_PATIENCE = 25  # looks in a row that may fail


class Follower:
    """Reads the log of `release`, or of the live one (else the last), whichever that is, and of those that
    were live before: they still write while they drain.

    With `places`, where an earlier follower stood in all logs, this one goes on for it; `followed` are the
    releases that it had come to. Else it begins with the last `lines` lines, of those not older
    than `age` seconds if that is given. Raises SiteError if there is nothing to follow."""

    def __init__(self, layout: Layout, request: dict[str, Any]) -> None:
        self._layout, self._release = layout, request.get("release")
        self._current: Optional[tuple[int, bool]] = None
        self.places = {int(number): place for number, place in (request.get("places") or {}).items()}
        self._lines = 0 if self.places else int(request.get("lines", 50))
        self._age = request.get("age")
        self._tails = {number: self._tail(number) for number in request.get("followed") or ()}
        if not self.places:
            known = {int(path.stem) for path in layout.logs.glob("*.log") if path.stem.isdigit()}
            known.update(layout.numbers())
            self._refuse_nothing(known)
            for number in known:
                tail = Tail(layout.log(number))
                tail.to_end()
                self.places[number] = tail.place

    def look(self) -> Iterator[dict[str, Any]]:
        """What is to be said since the last look."""
        yield from self._read()
        current = self._followed()
        if current is None or current == self._current:
            return
        self._current, number = current, current[0]
        yield {"release": number, "live": current[1]}
        if number in self._tails:
            return
        tail = self._tails[number] = self._tail(number)
        if self._lines and (last := self._last(tail)):
            yield {"release": number, "lines": last, "place": tail.place}
        self._lines = 0
        yield from self._read()

    def _last(self, tail: Tail) -> list[str]:
        lines = tail.to_end(self._lines)
        return lines if self._age is None else written_within(lines, float(self._age))

    def _tail(self, number: int) -> Tail:
        return Tail(self._layout.log(number), self.places.get(number, (0, "")))

    def _read(self) -> Iterator[dict[str, Any]]:
        for number, tail in self._tails.items():
            while lines := tail.more():
                yield {"release": number, "lines": lines, "place": tail.place}

    def _followed(self) -> Optional[tuple[int, bool]]:
        """The release that is to be followed now, and whether it is live."""
        live = read_live(self._layout).release
        number = self._release or live or max(self._layout.numbers(), default=None)
        return (number, number == live) if number is not None else None

    def _refuse_nothing(self, known: set[int]) -> None:
        if not known:
            raise SiteError(f"nothing runs as {self._layout.name}", fix="Run mlship deploy")
        if self._release is not None and self._release not in known:
            raise SiteError(f"release {self._release} has no log", fix="See mlship history")


def follow(layout: Layout, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What is said, until standard input ends. Raises SiteError if there is nothing to follow, and what makes
    one look after the other fail."""
    follower = Follower(layout, request)
    said, failed = time.monotonic(), 0
    yield {"places": follower.places}
    while not _input_ended(_PAUSE):
        try:
            for answer in follower.look():
                said = time.monotonic()
                yield answer
            failed = 0
        except (OSError, RuntimeFault):  # it is being replaced or removed just now
            failed += 1
            if failed > _PATIENCE:
                raise
        if time.monotonic() - said > _ALIVE:
            said = time.monotonic()
            yield {}


def _input_ended(within: float) -> bool:
    readable, _, _ = select.select([0], [], [], within)
    return bool(readable) and not os.read(0, 4096)


def say(answer: dict[str, Any]) -> bool:
    """False if nobody listens any more."""
    try:
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nothing more is to be said, nor complained about
        return False
    return True
