"""How long a connection has been at what it does. Looked at in sweeps: no request pays for a timer."""

from __future__ import annotations

import enum
from typing import Any

from mlship_runtime.serving.limits import Limits


class Doing(enum.Enum):
    NOTHING = 1  # idle between two messages
    SENDING_HEAD = 2
    SENDING_BODY = 3
    TAKING = 4  # reading its answers
    WAITING = 5  # for us
    ENDING = 6  # it has its last answer, and has not closed


class Pace:
    """`late` is exact to one interval between sweeps, in the client's favour."""

    __slots__ = ("_began", "_doing", "_message", "_most", "_since")

    def __init__(self) -> None:
        self._doing: Doing | None = None
        self._message: object = None
        self._began = self._since = 0.0  # of the message, of what is being done
        self._most = 0

    def restart(self) -> None:
        """What the client does, it does anew."""
        self._doing = None

    def late(self, now: float, doing: Doing, reader: Any, limits: Limits, buffered: int) -> bool:
        """Whether what the client does has taken longer than it may. `buffered` bytes wait for it."""
        message = reader.message
        other = message is not self._message
        if other:
            self._message, self._began = message, now
        if doing is not self._doing or (other and doing is not Doing.TAKING):
            self._doing, self._since, self._most = doing, now, buffered
            return False
        taken = now - self._since
        if doing is Doing.NOTHING:
            return taken > limits.idle
        if doing is Doing.SENDING_HEAD:
            return taken > limits.header_time
        if doing is Doing.SENDING_BODY:
            slow = taken > limits.body_time + reader.body_size / limits.rate
            return slow or now - self._began > limits.request_time
        if doing is Doing.TAKING:
            self._most = max(self._most, buffered)
            return taken > limits.write_time + min(self._most / limits.rate, limits.write_time)
        return doing is Doing.ENDING and taken > limits.linger
