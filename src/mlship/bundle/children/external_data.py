"""Weights that an ONNX model keeps in other files: which it names, and whether they are what they say."""

from __future__ import annotations

import stat
from pathlib import Path

from mlship_runtime.bundle import external_data
from mlship_runtime.bundle.external_data import External
from mlship_runtime.errors import InvalidBundle

from .failure import Failure

_LONGEST_PATH = 4096


def externals(data: bytes, file: str) -> list[External]:
    """As `mlship_runtime.bundle.external_data`, with Failure for what is no model."""
    try:
        return external_data.externals(data, file)
    except InvalidBundle as fault:
        raise Failure(fault.what, cause=fault.cause) from fault


def check(folder: Path, found: list[External]) -> None:
    """Raise Failure unless each tensor lies inside of an ordinary file of `folder` that is nothing else.

    Not followed: absolute paths, `..`, links, and files that have a second name (hard links).
    """
    for tensor in found:
        size = _size(folder, tensor)
        end = size if tensor.length is None else tensor.offset + tensor.length
        if tensor.offset > size or end > size:
            raise _refused(tensor, f"ends at byte {end}, {tensor.location!r} at byte {size}")


def _size(folder: Path, tensor: External) -> int:
    """The size of the tensor's file, found without following any link."""
    place, parts = tensor.location, tensor.location.split("/")
    if not place or len(place) > _LONGEST_PATH or any(ord(sign) < 32 for sign in place):
        raise _refused(tensor, f"names the path {place[:80]!r}")
    if place.startswith("/") or "\\" in place or (len(place) > 1 and place[1] == ":"):
        raise _refused(tensor, f"names {place!r}, which is not a path inside of the model's folder")
    if any(part in ("", ".", "..") for part in parts):
        raise _refused(tensor, f"names {place!r}, which may leave the model's folder")
    path, seen = folder, folder.stat()
    for part in parts:
        if not stat.S_ISDIR(seen.st_mode):
            break
        path = path / part
        try:
            seen = path.lstat()
        except OSError:
            raise _refused(tensor, f"lies in {place!r}, which is not there") from None
    if path != folder.joinpath(*parts) or not stat.S_ISREG(seen.st_mode):
        raise _refused(tensor, f"lies in {place!r}, where {path.name!r} is a link or no ordinary file")
    if seen.st_nlink != 1:
        raise _refused(tensor, f"lies in {place!r}, which has a second name (a hard link)")
    return seen.st_size


def _refused(tensor: External, what: str) -> Failure:
    return Failure(
        f"the tensor {tensor.tensor[:80]!r} {what}",
        cause="the model was not saved with its weights, or somebody has changed it",
        fix="Save it again with its weights beside it",
    )
