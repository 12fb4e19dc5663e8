"""What a `docker` target can be set to."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from mlship.config.answering import Answering
from mlship.config.sizes import SizeOrNone, bytes_of
from mlship.digest import sha256
from mlship.errors import ConfigError
from mlship.result import to_json

_LEAST_MEMORY = 64 << 20  # bytes; below it nothing of ours starts


class DockerSettings(Answering, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One commented example of each stands in targets/docker/example.toml.

    Times are in seconds. `base` is the image that the bundle's layers go on; `engine` a URL (empty: that of
    `context`, else what Docker's own command would ask); `repository` where the engine pulls images from
    (empty: they are sent to it); `workers` containers serve one release, `memory`, `cpus` and `pids` are
    those of each (0, empty: no limit); `network` is the front's, `release_network` what a release itself can
    reach (empty: nothing); `port` 0 = a free one, chosen once and kept.
    """

    base: Annotated[str, msgspec.Meta(min_length=1)]
    engine: str = ""
    context: str = ""
    certificates: str = ""
    repository: str = ""
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0
    host: str = "127.0.0.1"
    network: str = ""
    release_network: str = ""
    workers: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    memory: SizeOrNone = ""
    cpus: Annotated[float, msgspec.Meta(ge=0, le=4096)] = 0.0
    pids: Annotated[int, msgspec.Meta(ge=16, le=1 << 22)] = 512
    restart: Literal["unless-stopped", "always", "on-failure", "no"] = "unless-stopped"
    ready_timeout: Annotated[float, msgspec.Meta(gt=0)] = 60.0
    drain_timeout: Annotated[float, msgspec.Meta(ge=0)] = 75.0
    hang_timeout: Annotated[float, msgspec.Meta(ge=0)] = 30.0
    bake: Annotated[float, msgspec.Meta(ge=0, le=86400)] = 5.0
    environment: dict[str, str] = {}
    labels: dict[str, str] = {}

    def check(self, target: str) -> None:
        """Raise ConfigError for what types cannot tell."""
        memory = bytes_of(self.memory)
        if self.external:
            raise ConfigError(
                f"target {target}: a docker target has no external listener",
                fix="Set `host` to the address to publish on, and let TLS end in front of it",
            )
        if self.engine and self.context:
            raise ConfigError(f"target {target} has `engine` and `context`", fix="Leave one of them out")
        if memory and memory < _LEAST_MEMORY:
            raise ConfigError(
                f"target {target}: `memory` is {self.memory}",
                cause="no release starts in less than 64 MB",
                fix="Give each container more",
            )

    def of_release(self) -> dict[str, Any]:
        """What a release is started with, and by which two releases of one bundle differ. Of the environment
        it has the names and a digest, never the values: it goes into plans, labels and ledgers."""
        return {
            "workers": self.workers,
            "memory": bytes_of(self.memory) or 0,
            "cpus": self.cpus,
            "pids": self.pids,
            "restart": self.restart,
            "network": self.release_network,
            "readyTimeout": self.ready_timeout,
            "drainTimeout": self.drain_timeout,
            "hangTimeout": self.hang_timeout,
            "labels": dict(sorted(self.labels.items())),
            "environment": sorted(self.environment),
            "environmentDigest": self.environment_digest,
            **self.answering(),
        }

    @property
    def environment_digest(self) -> str:
        return sha256(to_json(dict(sorted(self.environment.items()))))
