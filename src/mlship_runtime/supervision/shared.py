"""The folder that the containers of one service share: sockets, which release is live, the fence.

It lies in a volume, so it outlives each of them; a front keeps it, releases have their sockets in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mlship_runtime.supervision.layout import Layout, Site, WorkerSockets

MOUNTED = Path("/run/mlship")  # where each of the containers has the volume
FOLDER = MOUNTED / "shared"  # in it, as the volume's own root is nobody's but root's
RELEASE = "MLSHIP_RELEASE"  # a variable, JSON: what an image cannot know of it: number, index, settings
FRONT = "front"  # the name of the socket on which the front takes orders


@dataclass(frozen=True)
class Shared(Layout):
    """Where everything of the service lies; process numbers say nothing here, as each worker is the first
    process of its container."""

    @property
    def folder(self) -> Path:
        return FOLDER

    @property
    def run(self) -> Path:
        return FOLDER / "run"

    @property
    def front(self) -> Path:
        return self.run / FRONT

    def sockets(self, number: int, index: int) -> WorkerSockets:
        """Those of worker `index` of release `number`."""
        return self.worker_sockets(number, index, 1)


def shared(service: str = "service") -> Shared:
    """The layout of the service that this container belongs to; `service` is for errors."""
    return Shared(Site(MOUNTED), service)
