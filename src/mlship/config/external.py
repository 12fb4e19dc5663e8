"""`external`: the listener for those outside. Who may come in has to be said."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import msgspec


class External(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Files are paths on the host, read by the release: `tokens` (made by mlship token), `certificate` and
    `key` (TLS), `client_ca` (client certificates). `health`, `metrics`: whether it serves those routes, too.
    `behind_tls`: something in front of it speaks TLS, so plain HTTP is right."""

    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0
    host: str = "127.0.0.1"
    tokens: str = ""
    certificate: str = ""
    key: str = ""
    client_ca: str = ""
    health: bool = False
    metrics: bool = False
    behind_tls: bool = False

    @property
    def place(self) -> dict[str, Any]:
        return {"host": self.host, "port": self.port}

    @property
    def scheme(self) -> str:
        return "https" if self.certificate else "http"

    def of_release(self) -> dict[str, Any]:
        """What a worker is told; part of what a release is, since only new workers take another listener."""
        files = {
            "tokens": self.tokens,
            "certificate": self.certificate,
            "key": self.key,
            "clientCa": self.client_ca,
        }
        switches = {"health": self.health, "metrics": self.metrics}
        return {**self.place, **{name: path for name, path in files.items() if path}, **switches}

    def beneath(self, root: Path) -> External:
        """The same with files whose names are not absolute looked for in `root`."""
        files = {name: getattr(self, name) for name in ("tokens", "certificate", "key", "client_ca")}
        return msgspec.structs.replace(
            self, **{name: str(root / path) for name, path in files.items() if path}
        )

    def faults(self) -> Iterable[tuple[str, str]]:
        """What would leave it open, or shut for everybody, and how to mend it."""
        if not self.tokens and not self.client_ca:
            yield (
                "`external` does not say who may come in",
                "Set `tokens` (mlship token new makes such a file) or `client_ca`",
            )
        if bool(self.certificate) != bool(self.key):
            yield "`external` has only one of `certificate` and `key`", "Set both"
        if self.client_ca and not self.certificate:
            yield "client certificates need TLS", "Set `certificate` and `key` of `external`"
        if not self.certificate and not self.behind_tls and not is_loopback(self.host):
            yield (
                f"tokens would cross the network to {self.host} in the clear",
                "Set `certificate` and `key`, or behind_tls = true if something in front speaks TLS",
            )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
