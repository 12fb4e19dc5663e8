"""A base folder on a host where releases live, and the far end of every command that touches it.

What changes the host is done there by the ground-floor package, which is sent once; this side sends one
JSON request per command and reads one JSON answer. `local`, `ssh` and batch's Python form share it.
"""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any

import mlship_runtime
from mlship.digest import sha256
from mlship.errors import BundleError, LockedError, MlshipError, TargetError
from mlship.host.protocol import Host

_ERRORS: dict[str, type[MlshipError]] = {"bundle": BundleError, "fenced": LockedError}


class Site:
    """Commands for one service under one base folder of one host."""

    def __init__(self, host: Host, base: str, service: str, python: str) -> None:
        self.host, self.base, self.service, self.python = host, base, service, python
        self._boot: str | None = None

    def call(self, verb: str, *, within: float = 60.0, **given: Any) -> dict[str, Any]:
        """Run one far-side command `within` seconds; its `ok: false` becomes the error that it names."""
        request = {"base": self.base, "service": self.service, **given}
        argv = [self.python, "-I", "-S", "-B", "-u", self.boot(), "host", verb]
        done = self.host.run(argv, stdin=json.dumps(request).encode(), timeout=within)
        try:
            answer: dict[str, Any] = json.loads(done.out)
        except ValueError:
            tail = done.err.decode(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
            raise TargetError(f"{verb} failed on {self.host.name}", cause=tail[0]) from None
        if answer.pop("ok", False):
            return answer
        error = answer["error"]
        kind = _ERRORS.get(error["kind"], TargetError)
        raise kind(error["what"], cause=error.get("cause", ""), fix=error.get("fix", ""))

    def incoming(self, digest: str) -> str:
        """Where the content of `digest` is put before the far side has checked it."""
        return str(PurePosixPath(self.base, "incoming", digest.removeprefix("sha256:")))

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
        marker = folder / "complete"
        if self.host.run(["test", "-e", str(marker)]).code == 0:
            return
        root = _package_folder()
        for path in files:
            self.host.put(path, str(folder / path.relative_to(root).as_posix()))
        self.host.put(root / "__init__.py", str(marker))


def _content_name(files: list[Path]) -> str:
    root = _package_folder()
    content = (path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() for path in files)
    return sha256(b"\0".join(content))[7:23]


def ground_floor() -> list[Path]:
    """The source files of the ground-floor package, in a fixed order."""
    return sorted(_package_folder().rglob("*.py"))


def _package_folder() -> Path:
    return Path(mlship_runtime.__file__).parent
