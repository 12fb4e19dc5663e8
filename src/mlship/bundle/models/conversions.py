"""Conversions of before, kept in the cache until anything that they depended on is another.

A conversion is found by what is known before it runs: the model's digest, the examples, the settings, the
interpreter and our own code. It counts if the files and packages that it used then are still the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mlship.bundle import children
from mlship.config import cache_dir
from mlship.digest import CHUNK, hex_of, sha256

_FORM = 1  # of the cached file; another number makes all of them anew
_MOST = 64  # kept conversions
_LARGEST = 64 << 20  # bytes of a graph
_MANY = 500  # files that code opened
# Variables that may change what numbers or texts come out.
_TELLING = ("PYTHONPATH", "TZ", "LANG", "LC_", "OPENBLAS_", "NPY_", "MKL_", "OMP_", "XLA_", "TORCH_", "CUDA_")
_PLACES = ("result", "graph", "reducing", "groundFloor")  # of a job: another folder each time
_ANSWER, _SOURCES = "answer", "sources"
Answer = dict[str, Any]


@dataclass(frozen=True)
class Kept:
    """What the project's interpreter gave: its answer, the graph, the graph of the steps that were split off
    (empty: none), and the reduction's files."""

    answer: Answer
    graph: bytes
    reducing: bytes
    sources: Mapping[str, bytes]


def key_of(job: Mapping[str, Any], python: Path) -> str:
    """Of all that is known of a conversion before it runs; empty if its model is no file."""
    model = job["model"].get("file")
    if model is None or not Path(model).is_file():
        return ""
    own = {
        name: value
        for name, value in job.items()
        if name not in ("result", "graph", "reducing", "groundFloor")
    }
    environment = {name: value for name, value in os.environ.items() if name.startswith(_TELLING)}
    names = _names(Path(job["root"]), (job["reduction"] or {}).get("include", ()))
    parts = [_FORM, own, _digest(Path(model)), str(python), environment, names, _own_code(job["groundFloor"])]
    return sha256(json.dumps(parts, sort_keys=True).encode())


def recall(key: str) -> Kept | None:
    """The conversion of this key, if it is whole, this user's own, and what it depended on is unchanged."""
    if not key:
        return None
    try:
        with _file(key).open("rb") as file:
            if not _is_ours(os.fstat(file.fileno())) or not _is_ours(_folder().stat()):
                return None
            said, data = file.readline().strip(), file.read()
        if hashlib.sha256(data).hexdigest().encode() != said:
            return None
        head, _, rest = data.partition(b"\n")
        entry = json.loads(head)
        if not _unchanged(entry):
            return None
        size = entry["graph"] + entry["reducing"]
        graph, reducing, sources = rest[: entry["graph"]], rest[entry["graph"] : size], {}
        for place, length in entry[_SOURCES].items():
            sources[place], size = rest[size : size + length], size + length
        return Kept(entry[_ANSWER], graph, reducing, sources)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # not there, or half written: it is made again


def keep(key: str, kept: Kept, began: int) -> None:
    """Keep a conversion that began at the time `began` (ns), unless something that it used is as young: it
    may have changed meanwhile. A cache that cannot be written keeps nothing."""
    used = kept.answer["used"]
    if not key or len(kept.graph) > _LARGEST or len(used["files"]) > _MANY:
        return
    if any(state[1] >= began for state in used["code"].values()):
        return
    with suppress(OSError):
        if any(Path(path).stat().st_mtime_ns >= began for path in used["files"]):
            return
        head = {
            "code": used["code"],
            "files": {path: _digest(Path(path)) for path in used["files"]},
            "graph": len(kept.graph),
            "reducing": len(kept.reducing),
            _SOURCES: {place: len(data) for place, data in kept.sources.items()},
            _ANSWER: {name: value for name, value in kept.answer.items() if name != "used"},
        }
        data = b"".join((json.dumps(head).encode(), b"\n", kept.graph, kept.reducing, *kept.sources.values()))
        _write(key, hashlib.sha256(data).hexdigest().encode() + b"\n" + data)


def _write(key: str, data: bytes) -> None:
    folder = _folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = folder / f"{hex_of(key)}.part-{os.getpid()}"
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
        part.replace(_file(key))
    finally:
        part.unlink(missing_ok=True)
    found = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for old in found[_MOST:]:
        old.unlink(missing_ok=True)


def _unchanged(entry: Mapping[str, Any]) -> bool:
    for path, (size, time) in entry["code"].items():
        found = Path(path).stat()
        if (found.st_size, found.st_mtime_ns) != (size, time):
            return False
    return all(_digest(Path(path)) == digest for path, digest in entry["files"].items())


def _is_ours(found: os.stat_result) -> bool:
    return found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _folder() -> Path:
    return cache_dir() / "conversions"


def _file(key: str) -> Path:
    return _folder() / hex_of(key)


def _digest(path: Path) -> str:
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            hasher.update(chunk)
    return hasher.hexdigest()


def _names(root: Path, include: Iterable[str]) -> list[str]:
    """Of the files that a reduction could take in: one that is new may count as much as one that changed."""
    patterns = ("*.py", "*/*.py", *(pattern for pattern in include if not pattern.startswith("/")))
    return sorted({str(path.relative_to(root)) for pattern in patterns for path in root.glob(pattern)})


@cache
def _own_code(ground_floor: str) -> str:
    """Of the code of ours that runs there."""
    folders = (Path(ground_floor), Path(children.__file__).parent)
    files = [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    return sha256("".join(f"{path.name} {_digest(path)}\n" for path in files).encode())
