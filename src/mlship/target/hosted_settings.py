"""Settings that every target on a host has; an adapter may add its own."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from mlship.config.answering import Answering
from mlship.config.sizes import SizeOrNone, bytes_of
from mlship.digest import sha256
from mlship.result import to_json


class HostedSettings(Answering, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One commented example of each stands in targets/<name>/example.toml.

    Times are in seconds. `port` 0 = a free one, chosen once and kept; `workers` 0 = one for each processor;
    `hang_timeout` 0 = never; `memory` empty = what the host's control group allows; `python` empty = found by
    the bundle's platform; `environment` is all that a release sees of it, besides PATH, LANG and TMPDIR;
    `units` says whose systemd keeps the service (`none`: a process of its own does; `auto`: the first of
    `system`, `user` and `none` that can be had).
    """

    port: int = 0
    host: str = "127.0.0.1"
    workers: Annotated[int, msgspec.Meta(ge=0, le=1024)] = 0
    memory: SizeOrNone = ""
    ready_timeout: float = 60.0
    drain_timeout: float = 75.0
    hang_timeout: Annotated[float, msgspec.Meta(ge=0)] = 30.0
    python: str = ""
    base: str = ""
    units: Literal["auto", "system", "user", "none"] = "none"
    environment: dict[str, str] = {}

    def of_release(self) -> dict[str, Any]:
        """What a release is started with, and by which two releases of one bundle differ. It goes into plans
        and ledgers, so of the environment it has the names and a digest, never the values.
        """
        return {
            "workers": self.workers,
            "memory": bytes_of(self.memory) or 0,
            "readyTimeout": self.ready_timeout,
            "drainTimeout": self.drain_timeout,
            "hangTimeout": self.hang_timeout,
            "environment": sorted(self.environment),
            "environmentDigest": self.environment_digest,
            **self.answering(),
        }

    @property
    def environment_digest(self) -> str:
        return sha256(to_json(dict(sorted(self.environment.items()))))
