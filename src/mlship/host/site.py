"""A base folder on a host where releases live, and the far end of every command that touches it.

What changes the host is done there by the ground-floor package, which is sent once; this side sends one
JSON request per command and reads one JSON answer. `local`, `ssh` and batch's Python form share it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from mlship.errors import BundleError, LockedError, MlshipError, TargetError
from mlship.host import ground_floor
from mlship.host.protocol import Completed, Host
from mlship.host.stream import Stream

_READING = frozenset({"facts", "observe", "path", "logs", "follow"})
_NO_PROGRAM = (126, 127)  # the codes of a shell
_TOO_OLD = ("needs Python 3.9", "Try `python")  # boot.py; a Python 2, which does not know our options
_ERRORS: dict[str, type[MlshipError]] = {"bundle": BundleError, "fenced": LockedError}


class Site:
    """Commands for one service under one base folder of one host."""

    def __init__(self, host: Host, base: str, service: str, python: str) -> None:
        self.host, self.service, self.python = host, service, python
        self._base = base
        self._boot: str | None = None

    def call(self, verb: str, *, within: float = 60.0, **given: Any) -> dict[str, Any]:
        """Run one far-side command `within` seconds; its `ok: false` becomes the error that it names."""
        request = self._request(given)
        argv, before = self._started_by(verb)
        done = self.host.run(argv, stdin=before + request, timeout=within)
        try:
            answer: dict[str, Any] = json.loads(done.out)
        except ValueError:
            raise self._broken(f"{verb} failed on {self.host.name}", done) from None
        if answer.pop("ok", False):
            if answer.get("purged"):
                self._boot = None  # the tools went, too
            return answer
        raise refusal(answer)

    def follow(self, **given: Any) -> Stream:
        """The far-side command that goes on answering, until the stream is closed."""
        argv, before = self._started_by("follow")
        request = before + self._request(given) + b"\n"
        return Stream(self.host.start(argv), self.host.name, request)

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
            self._boot = self._installed() or self._install()
        return self._boot

    @cached_property
    def base(self) -> str:
        """The base folder as the host names it: `~` is the home of the user there, empty the usual place."""
        if not self._base:
            return self._must("-c", ground_floor.DATA).decode().strip()
        if not self._base.startswith("~/"):
            return self._base
        return str(PurePosixPath(self._must("-c", ground_floor.HOME).decode().strip(), self._base[2:]))

    def _installed(self) -> str | None:
        """The start file of these tools, if they are on the host."""
        boot = self._tools(ground_floor.name()) / ground_floor.BOOT
        return str(boot) if self.host.run(["test", "-f", str(boot)]).code == 0 else None

    def _install(self) -> str:
        tools, name = str(self._tools()), ground_floor.name()
        self._must("-c", ground_floor.INSTALL, self.base, tools, name, stdin=ground_floor.texts())
        return str(self._tools(name) / ground_floor.BOOT)

    def _tools(self, *name: str) -> PurePosixPath:
        return PurePosixPath(self.base, "tools", *name)

    def _must(self, *words: str, stdin: bytes = b"") -> bytes:
        done = self.host.run([self.python, "-I", "-S", *words], stdin=stdin)
        if done.code:
            what = f"mlship cannot be put on {self.host.name}"
            raise self._broken(what, done, f"Look at {self._base or 'the home'} and at {self.python} there")
        return done.out

    def _broken(self, what: str, done: Completed, fix: str = "") -> TargetError:
        """The error for a program that broke over there; above all, for a Python that is none for us."""
        said = (done.err.decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
        if done.code in _NO_PROGRAM:
            what = f"there is no {self.python} on {self.host.name}"
            fix = "Install Python 3.9 or newer there, or name one with `python` of the target"
        elif any(sign in said for sign in _TOO_OLD):
            fix = "Install a newer one there, and name it with `python` of the target"
        elif "No module named" in said:
            fix = (
                f"Install {self.python} there with its whole standard library (Debian: python3, not -minimal)"
            )
        return TargetError(what, cause=said, fix=fix)

    def _request(self, given: Mapping[str, Any]) -> bytes:
        return json.dumps({"base": self.base, "service": self.service, **given}).encode()

    def _started_by(self, verb: str) -> tuple[list[str], bytes]:
        """The words that start `verb` there, and what is sent before its request."""
        start, before = self._reader() if verb in _READING else ([self.boot()], b"")
        return [self.python, "-I", "-S", "-B", "-u", *start, "host", verb], before

    def _reader(self) -> tuple[list[str], bytes]:
        """How a command that reads is started, and what is sent before its request: with the ground floor
        that is there, or else with one in memory."""
        if self.host.ground_floor:
            return [self.host.ground_floor], b""
        if self._boot is None:
            self._boot = self._installed()
        if self._boot:
            return [self._boot], b""
        return ["-c", ground_floor.IN_MEMORY], ground_floor.archive()


def refusal(answer: Mapping[str, Any]) -> MlshipError:
    """The error that the far side names in an answer with `ok: false`."""
    error = answer["error"]
    kind = _ERRORS.get(error["kind"], TargetError)
    return kind(error["what"], cause=error.get("cause", ""), fix=error.get("fix", ""))
