"""Large models: weights go into shards, files of whole tensors, each of which becomes a layer of its own.

Which tensor begins a shard is decided by its name and size alone, not by what came before it. So a tensor
that changes, comes or goes moves hardly any other one, and what stays is not sent again.
"""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlship.bundle.archive import Stretch
from mlship.bundle.children.failure import Failure
from mlship.bundle.children.outside import find
from mlship.errors import BuildError
from mlship_runtime.bundle.weights import Place, read_weights, with_places

SHARD_BYTES = 64 << 20  # weights beyond this are sharded, and a shard has no more if its tensors allow it
MAX_SHARDS = 64  # an image has at most 125 layers
FOLDER = "shards"  # beside the graph
_ALIGNED = 4096  # bytes: tensors begin at a page, so that they can be mapped into memory
_SMALLEST = 1024  # bytes: smaller tensors stay in the graph, where the engine reads shapes from them
_EAGERNESS = (8, 4, 2, 1, 0)  # quarters: how much of a shard a tensor of the same size cuts off, from most


@dataclass(frozen=True)
class Weight:
    """A tensor's bytes as they lie in some file."""

    name: str
    source: Stretch


@dataclass(frozen=True)
class Shard:
    """`name` comes from its first tensor; `places` are its tensors' offsets and lengths in bytes."""

    name: str
    places: tuple[tuple[str, int, int], ...]
    stretches: tuple[Stretch, ...]


def split(file: Path, beside: Path | None, limit: int = SHARD_BYTES) -> tuple[bytes, tuple[Shard, ...]]:
    """The graph of the ONNX model in `file`, and the shards of its weights: none if these have `limit` bytes
    at most and so are all in the graph. `beside` is the model that other files belong to, if it has such.

    Large weights are not read here: a shard names the stretches of the files that they lie in. Raises
    BuildError.
    """
    if beside is None and file.stat().st_size <= limit:
        return file.read_bytes(), ()
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            outside = find(beside or file, data)
        except Failure as failure:
            raise BuildError(failure.what, cause=failure.cause, fix=failure.fix) from failure
        found = []
        for weight in read_weights(data):
            if weight.name in outside:
                found.append(Weight(weight.name, Stretch(*outside[weight.name])))
            elif weight.inside:
                found.append(Weight(weight.name, Stretch(file, weight.inside[0], weight.size)))
        large = [each for each in found if each.source.length >= _SMALLEST]
        shards: tuple[Shard, ...] = ()
        if sum(each.source.length for each in large) > limit:
            shards = divide(large, limit)
        places: dict[str, Place | bytes] = {
            name: (f"{FOLDER}/{shard.name}.bin", offset, length)
            for shard in shards
            for name, offset, length in shard.places
        }
        for left in found:
            if left.name in outside and left.name not in places:
                places[left.name] = _content(left.source)
        return with_places(data, places), shards


def _content(stretch: Stretch) -> bytes:
    assert stretch.file is not None  # noqa: S101 - only gaps have none
    with stretch.file.open("rb") as file:
        file.seek(stretch.offset)
        return file.read(stretch.length)


def divide(weights: Sequence[Weight], limit: int, most: int = MAX_SHARDS) -> tuple[Shard, ...]:
    """`weights` in order as at most `most` shards of at most `limit` bytes, or more where that is too little
    for `most` or for a tensor. Fewer shards follow names where following them would give too many."""
    total = sum(_padded(weight) for weight in weights)
    step = 4
    while limit * step // 4 * most < total:
        step += max(1, step // 8)
    while True:
        for eagerness in _EAGERNESS:
            groups = _cut(weights, limit * step // 4, eagerness)
            if len(groups) <= most:
                return tuple(_shard(group) for group in groups)
        step += max(1, step // 8)


def _cut(weights: Sequence[Weight], limit: int, eagerness: int) -> list[list[Weight]]:
    groups: list[list[Weight]] = []
    filled = 0
    for weight in weights:
        size = _padded(weight)
        if not groups or filled + size > limit or _begins(weight, limit, eagerness):
            groups.append([])
            filled = 0
        groups[-1].append(weight)
        filled += size
    return groups


def _begins(weight: Weight, limit: int, eagerness: int) -> bool:
    """Whether the name's hash makes it the first of a shard: the likelier, the larger it is."""
    chance = int.from_bytes(_hash(weight.name)[:8], "big")
    return chance * limit * 4 < (eagerness * _padded(weight)) << 64


def _shard(group: Sequence[Weight]) -> Shard:
    places, stretches, offset = [], [], 0
    for weight in group:
        gap = -offset % _ALIGNED
        if gap:
            stretches.append(Stretch(None, 0, gap))
        offset += gap
        places.append((weight.name, offset, weight.source.length))
        stretches.append(weight.source)
        offset += weight.source.length
    return Shard(_hash(group[0].name).hex()[:16], tuple(places), tuple(stretches))


def _padded(weight: Weight) -> int:
    return weight.source.length + -weight.source.length % _ALIGNED


def _hash(name: str) -> bytes:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
