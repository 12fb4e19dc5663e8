"""Where the weights lie that an ONNX file keeps in other files, so that each can be taken from there once.

Runs in the project's interpreter and in mlship's own process alike: standard library only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlship_runtime.bundle.weights import Weight, read_weights
from mlship_runtime.errors import InvalidBundle

from . import external_data
from .failure import Failure

_KEYS = {"location", "offset", "length", "checksum"}
_FIX = "Save it anew: onnx.save_model(model, path, save_as_external_data=True)"

Stretch = tuple[Path, int, int]  # file, offset and length in bytes


def find(path: Path, data: Any) -> dict[str, Stretch]:
    """The place of each weight that the ONNX file `path` (its content is `data`) keeps outside, by its name.

    Raises Failure for what `external_data` refuses, for tensors outside that are no weights of the graph, and
    for stretches that overlap or do not have the size of their tensor.
    """
    named = external_data.externals(data, path.name)
    external_data.check(path.parent, named)
    try:
        weights = read_weights(data)
    except InvalidBundle as fault:
        raise Failure(f"{path.name} is not an ONNX model", cause=fault.cause) from fault
    found = {weight.name: _stretch(path, weight) for weight in weights if weight.outside is not None}
    if len(found) != len(named) or len({weight.name for weight in weights}) != len(weights):
        raise Failure(
            f"{path.name} keeps more in other files than the weights of its graph",
            cause="a constant of a node, or two weights of one name",
            fix=_FIX,
        )
    _check_apart(path, found)
    return found


def _stretch(path: Path, weight: Weight) -> Stretch:
    said = dict(weight.outside or ())
    if unknown := said.keys() - _KEYS:
        raise _refused(path, weight, f"it says {', '.join(sorted(unknown))[:80]!a} of its place")
    offset, length = int(said.get("offset", 0)), int(said.get("length", weight.size))
    file = path.parent / said["location"]
    if length != weight.size:
        raise _refused(path, weight, f"it has {length} bytes where its shape asks for {weight.size}")
    if offset + length > (size := file.stat().st_size):
        raise _refused(
            path, weight, f"it would end at byte {offset + length} of {file.name}, which has {size}"
        )
    return file, offset, length


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
    what = f"{path.name} keeps the weight {weight.name[:80]!a} where it cannot be taken from"
    return Failure(what, cause=why, fix=_FIX)
