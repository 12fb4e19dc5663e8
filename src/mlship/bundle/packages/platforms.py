"""The platforms of a runtime: mlship.toml's word, the bundle's platform string, uv's word."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from mlship.errors import BuildError
from mlship_runtime.platforms import Platform, misfit, read_platform, this_platform

_GLIBC = (2, 28)  # what the wheels of onnxruntime need; older hosts have none
_MACOS = (14, 0)
_UV_PROCESSORS = {"amd64": "x86_64", "arm64": "aarch64"}


@dataclass(frozen=True)
class Wanted:
    """One platform to resolve for: `name` is the bundle's string for it, e.g. linux-amd64-cp311-gnu2.28."""

    platform: Platform

    @property
    def name(self) -> str:
        return str(self.platform)

    @property
    def python(self) -> str:
        return "{}.{}".format(*self.platform.python)

    @property
    def uv_platform(self) -> str:
        processor = _UV_PROCESSORS[self.platform.processor]
        if self.platform.system == "macos":
            return f"{processor}-apple-darwin"
        return f"{processor}-manylinux_{self.platform.floor[0]}_{self.platform.floor[1]}"

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which uv resolves for it: the oldest macOS is not part of uv's platform name."""
        if self.platform.system != "macos":
            return {}
        return {"MACOSX_DEPLOYMENT_TARGET": "{}.{}".format(*self.platform.floor)}

    @property
    def runs_here(self) -> bool:
        """Whether this machine can run it, given an interpreter of its Python."""
        here = this_platform()
        return not misfit(self.name, Platform(here.system, here.processor, self.platform.python, here.floor))


def wanted(word: str, python: str) -> Wanted:
    """The platform that mlship.toml calls `word` (linux/amd64) with Python `python` (3.N)."""
    system, _, processor = word.partition("/")
    major, minor = (int(part) for part in python.split("."))
    return Wanted(Platform(system, processor, (major, minor), _MACOS if system == "macos" else _GLIBC))


def named(name: str) -> Wanted:
    """The platform with the bundle's string `name`; raises BuildError if it is none."""
    platform = read_platform(name)
    if platform is None:
        raise BuildError(f"{name!r} is not a platform", fix="Remove mlship.lock and build again")
    return Wanted(platform)


def this_machine(python: str) -> Wanted:
    """This machine's platform with Python `python`; raises BuildError where no runtime can be made for it."""
    here = this_platform()
    if here.system not in ("linux", "macos") or here.processor not in _UV_PROCESSORS:
        raise BuildError(
            f"mlship does not build on {sys.platform} ({here.processor})", fix="Use Linux or macOS"
        )
    found = wanted(f"{here.system}/{here.processor}", python)
    if not found.runs_here:
        raise BuildError(
            f"this machine cannot run {found.name}",
            cause=misfit(found.name, here),
            fix="Build on a newer system",
        )
    return found
