"""How long a connection has been at what it does, and whether it takes its answers. Looked at in sweeps: no
request pays for a timer."""

from __future__ import annotations

import enum
from typing import Any

from mlship_runtime.serving.limits import Limits


class Doing(enum.Enum):
    NOTHING = 1  # idle between two messages
    SENDING_HEAD = 2
    SENDING_BODY = 3
    TAKING = 4  # reading its answers: see `Taking`
    WAITING = 5  # for us
    ENDING = 6  # it has its last answer, and has not closed


class Pace:
    """`late` is exact to one interval between sweeps, in the client's favour."""

    __slots__ = ("_began", "_doing", "_message", "_since")

    def __init__(self) -> None:
        self._doing: Doing | None = None
        self._message: object = None
        self._began = self._since = 0.0  # of the message, of what is being done

    def late(self, now: float, doing: Doing, reader: Any, limits: Limits) -> bool:
        """Whether what the client does has taken longer than it may."""
        message = reader.message
        other = message is not self._message
        if other:
            self._message, self._began = message, now
        if other or doing is not self._doing:
            self._doing, self._since = doing, now
            return False
        taken = now - self._since
        if doing is Doing.NOTHING:
            return taken > limits.idle
        if doing is Doing.SENDING_HEAD:
            return taken > limits.header_time
        if doing is Doing.SENDING_BODY:
            slow = taken > limits.body_time + reader.body_size / limits.rate
            return slow or now - self._began > limits.request_time
        return doing is Doing.ENDING and taken > limits.linger


class Taking:
    """Whether a client takes what was written for it: in each `write_time` as much as `rate` asks for, or all
    that there was. What it asks for meanwhile does not count, and what comes after is the next portion's."""

    __slots__ = ("_since", "_wanted")

    def __init__(self) -> None:
        self._since = 0.0
        self._wanted: int | None = None  # of all bytes ever, those that it should have when the time is over

    def late(self, now: float, written: int, waiting: int, limits: Limits) -> bool:
        """`written` are the bytes so far, `waiting` those of them that the client's machine does not have."""
        if not waiting:
            self._wanted = None
            return False
        taken = written - waiting
        if self._wanted is None or taken >= self._wanted:
            portion = max(1, int(limits.rate * limits.write_time))
            self._since, self._wanted = now, min(written, taken + portion)
            return False
        return now - self._since > limits.write_time
