"""mlship.lock: what a build found out and the next one repeats. Written by builds, committed by people.

It holds no path, no URL and no date, so two machines write the same text.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from mlship.bundle.packages.resolve import Wheel
from mlship.config import Project
from mlship.digest import sha256
from mlship.errors import BuildError
from mlship_runtime.bundle.canonical import encode
from mlship_runtime.files import write_atomic

SCHEMA = 1


class _Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Base of the lock's parts."""


class LockedWheel(_Part, frozen=True, kw_only=True):
    name: str
    version: str
    file: str
    sha256: str


class LockedRuntime(_Part, frozen=True, kw_only=True):
    """What was resolved from `requirements`. `mlship` and `ground_floor` say which mlship_runtime is
    packed."""

    mlship: str
    ground_floor: str
    python: str
    requirements: tuple[str, ...]
    trim: int
    platforms: dict[str, tuple[LockedWheel, ...]]

    def wheels(self, platform: str) -> tuple[Wheel, ...]:
        return tuple(Wheel(w.name, w.version, w.file, w.sha256) for w in self.platforms[platform])

    @property
    def pins(self) -> dict[str, str]:
        """Version by package, over all platforms."""
        return {wheel.name: wheel.version for wheels in self.platforms.values() for wheel in wheels}

    @property
    def digest(self) -> str:
        """Of everything that can change an answer: part of what golden outputs depend on."""
        return sha256(encode(msgspec.to_builtins(self)))


class LockedModel(_Part, frozen=True, kw_only=True, omit_defaults=True):
    """The converted graph's digest, in which precision it reads numbers, what converted it, and which version
    of a registered model it was made from, if that is known."""

    graph: str
    precision: str
    opset: int
    converter: dict[str, str]
    registered: dict[str, str] = {}


class LockedParity(_Part, frozen=True, kw_only=True):
    """How far the ONNX model was from the original, at most."""

    rows: int
    max_abs: float
    max_rel: float


class LockedGolden(_Part, frozen=True, kw_only=True, omit_defaults=True):
    """The rows taken from the examples, the recorded answers, and what was seen in `reduced` and `outputs` of
    all examples; valid for these inputs only. `labels` are those of the rows: who takes one away from the
    same rows changes the lock."""

    inputs: dict[str, str]
    rows: tuple[int, ...]
    outputs: tuple[dict[str, Any], ...]
    seen: dict[str, dict[str, dict[str, Any]]] = {}
    labels: dict[str, str] = {}


class Lock(_Part, frozen=True, kw_only=True):
    schema_version: int = SCHEMA
    runtime: LockedRuntime
    model: LockedModel | None = None
    parity: LockedParity | None = None
    golden: LockedGolden | None = None

    def differs(self, other: Lock) -> list[str]:
        """The parts in which two locks differ, in words."""
        mine, theirs = msgspec.to_builtins(self), msgspec.to_builtins(other)
        found = []
        for part in ("runtime", "model", "parity", "golden"):
            one, two = mine[part] or {}, theirs[part] or {}
            found += [f"{part}.{key}" for key in sorted({*one, *two}) if one.get(key) != two.get(key)]
        return found


def read_lock(project: Project) -> Lock | None:
    """The project's lock, None if there is none yet; raises BuildError if it cannot be read."""
    path = project.lock_file
    fix = "Restore it from version control, or remove it and build again"
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BuildError(f"{path.name} cannot be read", cause=error.strerror or str(error)) from error
    try:
        version = msgspec.json.decode(data)["schemaVersion"]
        if type(version) is int and version > SCHEMA:
            raise BuildError(f"{path.name} was made by a newer mlship", fix="Upgrade mlship")
        return msgspec.json.decode(data, type=Lock)
    except (msgspec.DecodeError, KeyError, TypeError) as error:
        raise BuildError(f"{path.name} is damaged", cause=str(error), fix=fix) from error


def lock_text(lock: Lock) -> bytes:
    """The file's content: sorted keys, indented; lists of numbers stay on one line to keep diffs short."""
    return _pretty(msgspec.to_builtins(lock), 0).encode() + b"\n"


def write_atomically(path: Path, data: bytes) -> None:
    """Replace `path` by `data`, whole or not at all, on disk before the name changes. Raises BuildError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, data, 0o666)
    except OSError as error:
        raise BuildError(f"{path.name} cannot be written", cause=error.strerror or str(error)) from error


def _pretty(value: Any, depth: int) -> str:
    inner, outer = "  " * (depth + 1), "  " * depth
    if isinstance(value, dict) and value and any(isinstance(v, dict | list | tuple) for v in value.values()):
        rows = [f"{inner}{_plain(key)}: {_pretty(value[key], depth + 1)}" for key in sorted(value)]
        return "{\n" + ",\n".join(rows) + f"\n{outer}}}"
    if isinstance(value, list | tuple) and any(isinstance(item, dict | list | tuple) for item in value):
        rows = [inner + _pretty(item, depth + 1) for item in value]
        return "[\n" + ",\n".join(rows) + f"\n{outer}]"
    return _plain(value)


def _plain(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)
