"""A base folder on a host where releases live, and the far end of every command that touches it.

What changes the host is done there by the ground-floor package, which is sent once; this side sends one
JSON request per command and reads one JSON answer. `local`, `ssh` and batch's Python form share it.
"""

from __future__ import annotations

import json
import secrets
from pathlib import Path, PurePosixPath
from typing import Any

import mlship_runtime
from mlship.digest import sha256
from mlship.errors import BundleError, LockedError, MlshipError, TargetError
from mlship.host.protocol import Host

_READING = frozenset({"facts", "observe", "path", "logs"})
_ERRORS: dict[str, type[MlshipError]] = {"bundle": BundleError, "fenced": LockedError}

_MAKE_PRIVATE = "import os, sys; os.umask(0o077); os.makedirs(sys.argv[1], exist_ok=True)"

# Makes a folder that was sent durable and gives it its name; if somebody was faster, theirs stays.
_PUBLISH = """
import os, shutil, sys
part, whole = sys.argv[1:]
def sync(folder):
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
for folder, _, _ in os.walk(part):
    sync(folder)
try:
    os.rename(part, whole)
except OSError:
    if not os.path.isdir(whole):
        raise
    shutil.rmtree(part)
sync(os.path.dirname(whole))
"""


class Site:
    """Commands for one service under one base folder of one host."""

    def __init__(self, host: Host, base: str, service: str, python: str) -> None:
        self.host, self.base, self.service, self.python = host, base, service, python
        self._boot: str | None = None

    def call(self, verb: str, *, within: float = 60.0, **given: Any) -> dict[str, Any]:
        """Run one far-side command `within` seconds; its `ok: false` becomes the error that it names."""
        request = {"base": self.base, "service": self.service, **given}
        boot = self.host.ground_floor if verb in _READING else None
        argv = [self.python, "-I", "-S", "-B", "-u", boot or self.boot(), "host", verb]
        done = self.host.run(argv, stdin=json.dumps(request).encode(), timeout=within)
        try:
            answer: dict[str, Any] = json.loads(done.out)
        except ValueError:
            tail = done.err.decode(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
            raise TargetError(f"{verb} failed on {self.host.name}", cause=tail[0]) from None
        if answer.pop("ok", False):
            if answer.get("purged"):
                self._boot = None  # the tools went, too
            return answer
        error = answer["error"]
        kind = _ERRORS.get(error["kind"], TargetError)
        raise kind(error["what"], cause=error.get("cause", ""), fix=error.get("fix", ""))

    def send(self, source: Path, digest: str) -> None:
        """Put the content of `digest` where the far side will check it before anything is done with it."""
        self.boot()  # makes the base folder, for this user alone
        where = PurePosixPath(self.base, "incoming", self.service, digest.removeprefix("sha256:"))
        self.host.put(source, str(where))

    def boot(self) -> str:
        """The ground floor's start file on the host; sent on first use (its folder is named by its
        content).
        """
        if self._boot is None:
            files = ground_floor()
            name = _content_name(files)
            folder = PurePosixPath(self.base, "tools", name, "mlship_runtime")
            self._boot = str(folder / "boot.py")
            self._send_missing(files, folder)
        return self._boot

    def _send_missing(self, files: list[Path], folder: PurePosixPath) -> None:
        """Files go into a folder of this sender's own, which gets its name when it is all on the disk."""
        if self._succeeds("test", "-d", str(folder)):
            return
        whole = folder.parent
        part = whole.with_name(f"{whole.name}.part-{secrets.token_hex(8)}")
        self._must(self.python, "-I", "-S", "-c", _MAKE_PRIVATE, self.base)
        root = _package_folder()
        for path in files:
            self.host.put(path, str(part / folder.name / path.relative_to(root).as_posix()))
        self._must(self.python, "-I", "-S", "-c", _PUBLISH, str(part), str(whole))

    def _succeeds(self, *argv: str) -> bool:
        return self.host.run(argv).code == 0

    def _must(self, *argv: str) -> None:
        done = self.host.run(argv)
        if done.code:
            said = done.err.decode(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
            raise TargetError(
                f"mlship cannot be put on {self.host.name}", cause=said[0], fix=f"Look at {self.base} there"
            )


def _content_name(files: list[Path]) -> str:
    root = _package_folder()
    content = (path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() for path in files)
    return sha256(b"\0".join(content))[7:23]


def ground_floor() -> list[Path]:
    """The source files of the ground-floor package, in a fixed order."""
    return sorted(_package_folder().rglob("*.py"))


def _package_folder() -> Path:
    return Path(mlship_runtime.__file__).parent
