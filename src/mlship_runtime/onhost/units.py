"""The systemd units that keep a service: a socket unit for each port, and the service with the supervisor.

What stands in them comes from this file and from values that were checked: paths without a character that
means something to systemd, addresses, numbers.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlship_runtime.errors import SiteError
from mlship_runtime.supervision.layout import Layout
from mlship_runtime.supervision.spawn import BOOT, python_command
from mlship_runtime.supervision.systemctl import runtime_folder

SYSTEM, USER = "system", "user"
_PLAIN = re.compile(r"/[A-Za-z0-9._/+@=,~-]*")
_HOMES = ("/home", "/root", "/run/user")
_SPARE = 128 << 20  # bytes for the supervisor and what the kernel counts
_HEAD = "# mlship writes this file and removes it; what is changed here is lost.\n"

# Of a socket unit: accepted from by the workers, and never given up because the service died often.
_SOCKET = """[Unit]
Description=The {name} port of the model service {service}

[Socket]
ListenStream={stream}
FileDescriptorName={name}
Service={unit}
Backlog=1024
TriggerLimitIntervalSec=0

[Install]
WantedBy=sockets.target
"""

# KillMode: workers serve on while the supervisor is replaced; `halt` ends them where the service is to stop.
_SERVICE = """[Unit]
Description=The model service {service}
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart={python} {boot} supervise --service {folder}
ExecStop={plus}{python} {boot} halt --service {folder} --unit {unit} --scope {scope}
Sockets={sockets}
KillMode=process
Restart=always
RestartSec=1s
OOMPolicy=continue
TimeoutStartSec=60s
TimeoutStopSec=100s
WatchdogSec=30s
UMask=0077
RuntimeDirectory={runtime}
RuntimeDirectoryMode=0700
RuntimeDirectoryPreserve=yes
{memory}{shut_in}
[Install]
WantedBy={wanted_by}
"""

# What a user's own systemd can do, too. Not MemoryDenyWriteExecute: native code of models may compile itself.
_SHUT_IN = """NoNewPrivileges=yes
LockPersonality=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
"""

# An empty folder over the base folder, and in it only what this service reads: root's records need no owner
# of the service's, and no other user sees them.
_SHUT_IN_BY_ROOT = """DynamicUser=yes
{groups}StateDirectory={state}
StateDirectoryMode=0700
Environment=TMPDIR=/var/lib/{state}/tmp
TemporaryFileSystem={base}:ro
BindReadOnlyPaths={seen}
ProtectSystem=strict
ProtectHome={homes}
PrivateTmp=yes
PrivateDevices=yes
DevicePolicy=closed
CapabilityBoundingSet=
AmbientCapabilities=
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
RemoveIPC=yes
KeyringMode=private
"""


@dataclass(frozen=True)
class Units:
    """Of the service at `layout`, kept by the machine's systemd (`system`) or by this user's (`user`)."""

    layout: Layout
    scope: str

    @property
    def name(self) -> str:
        return f"mlship-{self.layout.name}-{self.layout.mark[:8]}"

    @property
    def service(self) -> str:
        return f"{self.name}.service"

    @property
    def socket(self) -> str:
        return f"{self.name}.socket"

    @property
    def external(self) -> str:
        return f"{self.name}-external.socket"

    @property
    def all(self) -> tuple[str, str, str]:
        return self.service, self.socket, self.external

    @property
    def folder(self) -> Path:
        """Where unit files of this scope lie."""
        return Path("/etc/systemd/system") if self.scope == SYSTEM else Path.home() / ".config/systemd/user"

    @property
    def state(self) -> Path | None:
        """Where the supervisor writes, if it may not do so in the service's own folder."""
        return Path("/var/lib", self.name) if self.scope == SYSTEM else None

    @property
    def run(self) -> Path:
        """Where its sockets lie."""
        return (Path("/run") if self.scope == SYSTEM else runtime_folder()) / self._runtime

    @property
    def _runtime(self) -> str:
        return f"mlship-{self.layout.mark}"  # short: a socket's path is

    def texts(
        self,
        host: str,
        port: int,
        external: tuple[str, int] | None = None,
        memory: int = 0,
        groups: Sequence[int] = (),
    ) -> dict[str, str]:
        """The files by name, for a service on `host`:`port` (numeric) and perhaps an `external` place, that
        may use `memory` bytes (0: no limit) and read what `groups` may. Raises SiteError if a path cannot
        stand in a unit."""
        sockets = {self.socket: self._socket("internal", host, port)}
        if external:
            sockets[self.external] = self._socket("external", *external)
        return {**sockets, self.service: self._service(list(sockets), memory, groups)}

    def _socket(self, name: str, host: str, port: int) -> str:
        stream = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return _HEAD + _SOCKET.format(name=name, service=self.layout.name, stream=stream, unit=self.service)

    def _service(self, sockets: list[str], memory: int, groups: Sequence[int]) -> str:
        python = str(Path(sys.executable).resolve())
        return _HEAD + _SERVICE.format(
            service=self.layout.name,
            python=" ".join([_plain(python), *python_command("")[1:]]),
            boot=_plain(str(BOOT)),
            folder=_plain(str(self.layout.folder)),
            unit=self.service,
            scope=self.scope,
            plus="+" if self.scope == SYSTEM else "",
            sockets=" ".join(sockets),
            runtime=self._runtime,
            memory=f"MemoryMax={memory + _SPARE}\n" if memory else "",
            shut_in=_SHUT_IN + (self._by_root(python, groups) if self.scope == SYSTEM else ""),
            wanted_by="multi-user.target" if self.scope == SYSTEM else "default.target",
        )

    def _by_root(self, python: str, groups: Sequence[int]) -> str:
        site = self.layout.site
        base = _plain(str(site.base))
        check_seen(python)
        if any(site.base.is_relative_to(folder) for folder in ("/tmp", "/var/tmp")):  # noqa: S108  compared
            raise SiteError(
                f"a service below {base} cannot have a system unit",
                cause="it has a /tmp of its own",
                fix="Choose another `base`",
            )
        seen = [site.tools, site.blobs, site.layers, site.pycache, self.layout.folder]
        return _SHUT_IN_BY_ROOT.format(
            groups=f"SupplementaryGroups={' '.join(map(str, groups))}\n" if groups else "",
            state=self.name,
            base=base,
            seen=" ".join(str(path) for path in seen),
            homes="tmpfs" if is_hidden(site.base) else "yes",
        )


def is_hidden(path: Path) -> bool:
    """Whether a system unit is kept from seeing `path`."""
    return any(path.is_relative_to(home) for home in _HOMES)


def check_seen(path: str) -> None:
    """Raise SiteError if a system unit does not see `path`."""
    if is_hidden(Path(path)):
        raise SiteError(
            f"the service would not see {path}",
            cause=f"system units see nothing below {', '.join(_HOMES)}",
            fix="Put it elsewhere, or let a user's own units keep the service",
        )


def _plain(path: str) -> str:
    if not _PLAIN.fullmatch(path):
        raise SiteError(
            f"{path!r} cannot stand in a systemd unit",
            cause="it has a character that means something there",
            fix="Choose another `base` or `python`",
        )
    return path
