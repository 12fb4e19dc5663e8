"""Where everything of a service lies on a host. Paths only; nothing is created but the folder for sockets.

BASE/tools/HEX/mlship_runtime/  BASE/incoming/SERVICE/HEX  BASE/blobs/HEX  BASE/layers/HEX/  BASE/pycache/
BASE/services/SERVICE/{service.json, owner, fence, live.json, releases/N.json, logs/N.log}
Sockets lie in a short folder below /tmp, because a socket's path is limited to 108 bytes (104 on macOS).
Where a system unit keeps the service, links in the service's folder name those that systemd gives to it.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from mlship_runtime.errors import SiteError

_SERVICE_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?")
RUN_ROOT = Path("/tmp")  # noqa: S108  the folder below it is private and its owner is checked


@dataclass(frozen=True)
class Site:
    """The folder on a host that holds the services of a target."""

    base: Path

    @property
    def tools(self) -> Path:
        return self.base / "tools"

    @property
    def incoming(self) -> Path:
        return self.base / "incoming"

    @property
    def blobs(self) -> Path:
        return self.base / "blobs"

    @property
    def layers(self) -> Path:
        return self.base / "layers"

    @property
    def pycache(self) -> Path:
        return self.base / "pycache"

    @property
    def services(self) -> Path:
        return self.base / "services"

    @property
    def lock(self) -> Path:
        """Locked by what adds or removes layers."""
        return self.base / "lock"

    def cache_of(self, folder: Path) -> Path:
        """Where Python keeps the byte code of files below `folder` (PEP 304, `-X pycache_prefix`)."""
        return self.pycache / folder.relative_to("/")

    def layouts(self) -> list[Layout]:
        """All services here."""
        names = sorted(path.name for path in self.services.glob("*") if _SERVICE_NAME.fullmatch(path.name))
        return [Layout(self, name) for name in names]

    @property
    def is_unused(self) -> bool:
        """True if no service is here, not even one of which only some was sent."""
        return not self.layouts() and not any(self.incoming.glob("*"))

    @property
    def made(self) -> tuple[Path, ...]:
        """All that releases and commands make here; the lock, which commands hold meanwhile, is the last."""
        return (
            self.incoming, self.blobs, self.layers, self.pycache, self.services, self.tools, self.lock,
        )  # fmt: skip

    def blob(self, digest: str) -> Path:
        return self.blobs / hex_of(digest)

    def layer(self, digest: str) -> Path:
        return self.layers / hex_of(digest)

    def service(self, name: str) -> Layout:
        """Where the service `name` lies; raises SiteError if that is no name of a service."""
        if not _SERVICE_NAME.fullmatch(name):
            raise SiteError(
                f"{name[:80]!r} is not the name of a service", cause="use a-z 0-9 . _ -, at most 63"
            )
        return Layout(self, name)


@dataclass(frozen=True)
class Layout:
    """The folder of one service."""

    site: Site
    name: str

    @property
    def folder(self) -> Path:
        return self.site.services / self.name

    @property
    def incoming(self) -> Path:
        """What is sent for a release of this service and not yet checked; only its deployer writes here."""
        return self.site.incoming / self.name

    @property
    def settings(self) -> Path:
        return self.folder / "service.json"

    @property
    def fence(self) -> Path:
        return self.folder / "fence"

    @property
    def owner(self) -> Path:
        """The name of the target whose service it is."""
        return self.folder / "owner"

    @property
    def fence_lock(self) -> Path:
        return self.folder / "fence.lock"

    @property
    def state_link(self) -> Path:
        return self.folder / "state"

    @property
    def run_link(self) -> Path:
        return self.folder / "run"

    @property
    def state(self) -> Path:
        """What the supervisor writes into."""
        return self.state_link if self.state_link.is_symlink() else self.folder

    @property
    def temporary(self) -> Path:
        """For files that releases of a unit need for a moment."""
        return self.state / "tmp"

    @property
    def mark(self) -> str:
        """Tells services of one name below different folders apart."""
        return hashlib.sha256(os.fsencode(self.folder.resolve())).hexdigest()[:16]

    @property
    def live(self) -> Path:
        return self.state / "live.json"

    @property
    def lock(self) -> Path:
        """Held by the supervisor as long as it runs."""
        return self.state / "supervisor.lock"

    @property
    def releases(self) -> Path:
        return self.folder / "releases"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def events(self) -> Path:
        return self.logs / "supervisor.log"

    def record(self, number: int) -> Path:
        return self.releases / f"{number}.json"

    def log(self, number: int) -> Path:
        return self.logs / f"{number}.log"

    def failure(self, number: int) -> Path:
        """Why the release did not become ready; written by worker or supervisor, gone at the next start."""
        return self.logs / f"{number}.error.json"

    def health(self, number: int) -> Path:
        """How often its workers were replaced, and why; written by the supervisor, read by all."""
        return self.logs / f"{number}.health.json"

    @property
    def run(self) -> Path:
        """The folder of the sockets, the same for every caller whatever its environment."""
        if self.run_link.is_symlink():
            return Path(os.readlink(self.run_link))
        return Path(RUN_ROOT, f"mlship-{os.getuid()}", self.mark)

    def counters(self, number: int) -> Path:
        """Where the workers of a release count together."""
        return self.run / f"counters.{number}"

    @property
    def supervisor_socket(self) -> Path:
        return self.run / "supervisor"

    def worker_sockets(self, number: int, index: int, pid: int) -> WorkerSockets:
        return WorkerSockets(self.run, number, index, pid)

    def numbers(self) -> list[int]:
        """The numbers of the releases that have a record here, sorted."""
        return sorted(int(path.stem) for path in self.releases.glob("*.json") if path.stem.isdigit())

    def found_workers(self) -> list[WorkerSockets]:
        """The workers that have sockets here, dead ones too."""
        names = [path.name.split(".") for path in self.run.glob("w.*.control")]
        found = [[int(part) for part in name[1:4]] for name in names if len(name) == 5]
        return [WorkerSockets(self.run, *numbers) for numbers in sorted(found)]


@dataclass(frozen=True)
class WorkerSockets:
    """The sockets of one worker; with the pid in their names a worker and its successor never share one."""

    run: Path
    number: int
    index: int
    pid: int

    @property
    def control(self) -> Path:
        return self._path("control")

    @property
    def web(self) -> Path:
        """HTTP, for the golden examples and checks before the release has traffic."""
        return self._path("web")

    @property
    def handover(self) -> Path:
        """Where the worker takes connections from one that drains."""
        return self._path("handover")

    def unlink(self) -> None:
        for path in (self.control, self.web, self.handover):
            path.unlink(missing_ok=True)

    def _path(self, purpose: str) -> Path:
        return self.run / f"w.{self.number}.{self.index}.{self.pid}.{purpose}"


def layout_of(service_folder: Path) -> Layout:
    """The layout of the service in BASE/services/NAME."""
    folder = service_folder.resolve()
    return Site(folder.parent.parent).service(folder.name)


def hex_of(digest: str) -> str:
    """The hexadecimal part of a sha256 digest; raises SiteError if it is none."""
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        raise SiteError(f"{digest[:80]!r} is not a digest")
    return digest[7:]


def private_folder(folder: Path) -> Path:
    """Create `folder` and its parent for this user alone; raises SiteError if somebody else made them."""
    for path in (folder.parent, folder):
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            found = path.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
                raise SiteError(
                    f"{path} cannot hold the sockets",
                    cause="it is not a private folder of this user",
                    fix="Remove it",
                ) from None
    return folder
