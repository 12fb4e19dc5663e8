"""Platform strings (`linux-amd64-cp311-gnu2.28`, `macos-arm64-cp311-14`) and whether one fits a machine.

Stdlib only and cheap: it runs before anything of a bundle is loaded, so that a wrong Python is named and not
met as a missing module deep in numpy.
"""

from __future__ import annotations

import platform as machine_facts
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass

_FORM = re.compile(r"(linux|macos)-([a-z0-9_]+)-cp(\d)(\d+)-(?:gnu)?(\d+)(?:\.(\d+))?")
_PROCESSORS = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Platform:
    """`floor` is the oldest libc (Linux) or system (macOS) that it runs on."""

    system: str
    processor: str
    python: tuple[int, int]
    floor: tuple[int, int]

    def __str__(self) -> str:
        major, minor = self.floor
        floor = f"gnu{major}.{minor}" if self.system == "linux" else f"{major}"
        return f"{self.system}-{self.processor}-cp{self.python[0]}{self.python[1]}-{floor}"


def read_platform(text: str) -> Platform | None:
    """The parts of a platform string; None if it is none that this code knows."""
    found = _FORM.fullmatch(text)
    if not found:
        return None
    system, processor, major, minor, *floor = found.groups()
    return Platform(system, processor, (int(major), int(minor)), (int(floor[0]), int(floor[1] or 0)))


def this_platform() -> Platform:
    """What this interpreter runs on."""
    return platform_of(
        sys.platform,
        machine_facts.machine(),
        machine_facts.libc_ver(),
        machine_facts.mac_ver()[0],
        sys.version_info[:2],
    )


def platform_of(
    system: str, machine: str, libc: Sequence[str], macos: str, python: Sequence[int]
) -> Platform:
    """The platform of an interpreter, from what it says: `sys.platform`, and what the module `platform` knows
    of machine, libc (its name and version) and macOS. A libc that is not glibc counts as version 0.0."""
    name = machine.lower()
    version = macos if system == "darwin" else libc[1] if libc[0] == "glibc" else ""
    numbers = [int(part) for part in re.findall(r"\d+", version)[:2]] + [0, 0]
    floor = (numbers[0], numbers[1])
    known = {"linux": "linux", "darwin": "macos"}.get(system, system)
    return Platform(known, _PROCESSORS.get(name, name), (python[0], python[1]), floor)


def misfit(wanted: str, here: Platform) -> str:
    """Why a bundle for the platform `wanted` cannot run on `here`, in one clause; empty if it can."""
    asked = read_platform(wanted)
    if asked is None:
        return f"{wanted[:80]!r} is not a platform that this mlship knows"
    if (asked.system, asked.processor) != (here.system, here.processor):
        return f"it is for {asked.system} on {asked.processor}, this is {here.system} on {here.processor}"
    if asked.python != here.python:
        return "it needs Python {}.{}, this is Python {}.{}".format(*asked.python, *here.python)
    if asked.floor > here.floor:
        kind = "glibc" if asked.system == "linux" else "macOS"
        found = "{}.{}".format(*here.floor) if here.floor > (0, 0) else "none"
        return "it needs {} {}.{} or newer, here is {}".format(kind, *asked.floor, found)
    return ""
