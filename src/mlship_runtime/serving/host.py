"""What a connection needs of its server, and the states that it is in."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Protocol

from mlship_runtime.serving.accesslog import AccessLog
from mlship_runtime.serving.answer import Application, Renderer
from mlship_runtime.serving.limits import Limits
from mlship_runtime.serving.line import Line
from mlship_runtime.serving.tracing import RequestNames

if TYPE_CHECKING:
    from mlship_runtime.serving.connection import Connection


class Host(Protocol):
    """What a connection needs of its server."""

    application: Application
    limits: Limits
    renderer: Renderer
    names: RequestNames
    line: Line
    log: AccessLog | None
    draining: bool

    def opened(self, connection: Connection) -> None: ...

    def lost(self, connection: Connection) -> None: ...

    def hands_over(self, connection: Connection) -> bool:
        """Whether, in this drain, the connection will go to another process once it is at rest."""

    def at_rest(self, connection: Connection) -> None:
        """The connection is, in a drain, between two messages with nothing to send."""


class State(enum.Enum):
    OPEN = 1
    LEAVING = 2  # at rest and not read any more, on its way to another process
    LINGERING = 3  # the last answer is out; what still comes is thrown away
    AWAY = 4  # another process has it
