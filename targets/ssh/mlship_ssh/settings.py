"""What an `ssh` target has besides the settings of every target on a host."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from mlship.target.hosted_settings import HostedSettings


class SshSettings(HostedSettings, frozen=True, kw_only=True):
    """`hosts` are addresses ([USER@]HOST[:PORT]), `wave` how many of several get traffic at once; `key` is a
    private key's file, empty = the agent and the user's own keys; `client` auto = the OpenSSH client where
    there is one, else paramiko; `known_hosts` is the file of the pinned host keys, beside mlship.toml; `base`
    empty = /var/lib/mlship for root, else ~/.local/share/mlship there; `units` auto, for a
    machine is restarted when nobody looks; times in seconds."""

    hosts: Annotated[list[str], msgspec.Meta(min_length=1)]
    wave: Annotated[int, msgspec.Meta(ge=1)] = 1
    key: str = ""
    client: Literal["auto", "openssh", "paramiko"] = "auto"
    known_hosts: str = "known_hosts"
    units: Literal["auto", "system", "user", "none"] = "auto"
    connect_timeout: Annotated[float, msgspec.Meta(gt=0, le=600)] = 15.0

    def key_file(self) -> Path | None:
        return Path(self.key).expanduser() if self.key else None
