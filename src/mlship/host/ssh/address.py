"""Where a machine is and how one gets in: what both clients are given."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from mlship.errors import ConfigError

PORT = 22
_ADDRESS = re.compile(
    r"(?:(?P<user>[A-Za-z_][A-Za-z0-9._-]{0,63})@)?"
    r"(?:\[(?P<six>[0-9A-Fa-f:.]+(?:%[A-Za-z0-9._-]+)?)\]|(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})))"
    r"(?::(?P<port>[0-9]{1,5}))?"
)
_HOST_KEY = re.compile(r"(?:ssh|ecdsa|sk)-[a-z0-9@.-]+ [A-Za-z0-9+/]+={0,3}")


@dataclass(frozen=True)
class Address:
    """USER@HOST:PORT; without a user or port, what ssh would take. IPv6 stands in brackets."""

    host: str
    user: str | None = None
    port: int | None = None

    @classmethod
    def read(cls, text: str) -> Address:
        """Raises ConfigError. No text passes that a shell or an option parser could take for its own."""
        found = _ADDRESS.fullmatch(text)
        port = int(found["port"]) if found and found["port"] else None
        if not found or port == 0 or (port or 0) > 65535:
            raise ConfigError(
                f"{text[:80]!r} is no address of a machine", fix="Write USER@HOST or USER@HOST:PORT"
            )
        return cls(found["six"] or found["name"], found["user"], port)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (f"{self.user}@" if self.user else "") + host + (f":{self.port}" if self.port else "")


def is_host_key(text: str) -> bool:
    return _HOST_KEY.fullmatch(text) is not None


@dataclass(frozen=True)
class Access:
    """How one gets in at an address: `key` is a private key's file (a certificate lies beside it, as ssh
    wants it: KEY-cert.pub); without one the agent and the user's own keys are tried. Never a password.
    `host_keys` are those that the machine may show, as in a .pub file (`ssh-ed25519 AAAA…`), `authorities`
    those that may have signed one for its name, `revoked` those that count no more; without any there is no
    connection. `target` is what messages call the target, if it is one. Times in seconds."""

    address: Address
    host_keys: tuple[str, ...] = ()
    authorities: tuple[str, ...] = ()
    revoked: tuple[str, ...] = ()
    key: Path | None = None
    connect_timeout: float = 15.0
    target: str = "TARGET"

    def __post_init__(self) -> None:
        """Raises ConfigError for a host key that is none."""
        for line in (*self.host_keys, *self.authorities, *self.revoked):
            if not is_host_key(line):
                raise ConfigError(f"{line[:40]!r} is no host key", fix="Write it as in the host's .pub file")
