"""Weights that an ONNX file keeps in other files, checked before any ONNX library sees it.

Runs in the project's interpreter and in mlship's own process alike: standard library only.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from mlship_runtime.bundle.weights import Weight, outside_elsewhere, read_weights
from mlship_runtime.errors import InvalidBundle

from .failure import Failure

_KEYS = {"location", "offset", "length", "checksum"}
_FIX = "Save it anew: onnx.save_model(model, path, save_as_external_data=True)"

Stretch = tuple[Path, int, int]  # file, offset and length in bytes


def check(path: Path, data: Any) -> dict[str, Stretch]:
    """Where each weight that the ONNX file `path` (with the content `data`) keeps outside lies, by its name.

    Raises Failure for a place that is not a plain file beside or below it (absolute, `..`, a symbolic link, a
    further name of another file), for stretches that leave their file, overlap, or do not have the size of
    their tensor, and for files that are no ONNX models.
    """
    try:
        weights = read_weights(data)
        elsewhere = outside_elsewhere(data)
    except InvalidBundle as fault:
        raise Failure(f"{path.name} is not an ONNX model", cause=fault.cause) from fault
    if elsewhere:
        raise Failure(
            f"{path.name} keeps a constant of a node in another file",
            cause="only weights of the model's graph can lie outside",
            fix=_FIX,
        )
    if len({weight.name for weight in weights}) != len(weights):
        raise Failure(f"{path.name} has two weights of one name")
    found = {weight.name: _stretch(path, weight) for weight in weights if weight.outside is not None}
    _check_apart(path, found)
    return found


def _stretch(path: Path, weight: Weight) -> Stretch:
    pairs = weight.outside or ()
    said = dict(pairs)
    if len(said) != len(pairs) or not said.keys() <= _KEYS or not said.get("location"):
        raise _refused(path, weight, "what it says of its place is not in order")
    file = _plain_file(path, weight, said["location"])
    texts = said.get("offset", "0"), said.get("length", str(weight.size))
    if not all(text.isascii() and text.isdigit() and len(text) < 20 for text in texts):
        raise _refused(path, weight, "its offset or length is not a whole number from 0 on")
    offset, length = int(texts[0]), int(texts[1])
    if length != weight.size:
        raise _refused(path, weight, f"it has {length} bytes where its shape asks for {weight.size}")
    size = file.stat().st_size
    if offset + length > size:
        raise _refused(
            path, weight, f"it would end at byte {offset + length} of {file.name}, which has {size}"
        )
    return file, offset, length


def _plain_file(path: Path, weight: Weight, location: str) -> Path:
    parts = location.split("/")
    if "\\" in location or "\0" in location or ":" in location or location.startswith("/"):
        raise _refused(path, weight, f"{location[:200]!a} is not a path beside the model")
    if any(part in ("", "..") for part in parts):
        raise _refused(path, weight, f"{location[:200]!a} leads out of the model's folder")
    place, status = path.parent, os.lstat(path)
    for part in parts:
        place = place / part
        try:
            status = os.lstat(place)
        except OSError as error:
            raise _refused(path, weight, f"{location[:200]!a}: {error.strerror}") from error
        if stat.S_ISLNK(status.st_mode):
            raise _refused(path, weight, f"{location[:200]!a} is a link")
    if not stat.S_ISREG(status.st_mode):
        raise _refused(path, weight, f"{location[:200]!a} is not a regular file")
    if status.st_nlink != 1:
        raise _refused(path, weight, f"{location[:200]!a} has further names (hard links)")
    return place


def _check_apart(path: Path, found: dict[str, Stretch]) -> None:
    last: tuple[Path, int, str] | None = None
    for name, (file, offset, length) in sorted(found.items(), key=lambda item: item[1]):
        if last is not None and last[0] == file and offset < last[1] and length:
            raise Failure(
                f"{path.name}: the weights {last[2][:80]!a} and {name[:80]!a} share bytes of {file.name}",
                cause="each must have its own",
                fix=_FIX,
            )
        last = (file, offset + length, name)


def _refused(path: Path, weight: Weight, why: str) -> Failure:
    return Failure(
        f"{path.name} keeps the weight {weight.name[:80]!a} where it cannot be taken from",
        cause=why,
        fix=_FIX,
    )
