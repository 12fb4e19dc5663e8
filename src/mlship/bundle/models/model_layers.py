"""The model's layers: one with the graph, and one for each shard of a large model's weights."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from mlship.bundle.archive import Layer, write_layer
from mlship.bundle.document import MODEL_PATH
from mlship.bundle.models.convert import Converted
from mlship.bundle.models.shards import FOLDER, Shard
from mlship.bundle.models.unconverted import CODE
from mlship.digest import sha256
from mlship_runtime.bundle.canonical import encode

_AT_ONCE = 2  # one is brought to the disk while the next is read
_SHARDS = PurePosixPath(MODEL_PATH).parent / FOLDER


def model_layers(converted: Converted, folder: Path) -> list[Layer]:
    """The layers of `converted`, written into `folder`, the graph's first. Each weight is read once."""
    if unconverted := converted.unconverted:
        code = [(f"{CODE}/{place}", data) for place, data in unconverted.code.items()]
        files = [(unconverted.path, unconverted.found.data), *code]
        return [write_layer(folder / "model.tar", "model", files)]
    graph = write_layer(folder / "model.tar", "model", [(MODEL_PATH, converted.graph)])

    def write(shard: Shard) -> Layer:
        file = f"{_SHARDS}/{shard.name}.bin"
        return write_layer(folder / f"shard-{shard.name}.tar", "model", [(file, shard.stretches)])

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return [graph, *pool.map(write, converted.shards)]


def model_digest(layers: Sequence[Layer]) -> str:
    """One digest of the model in `layers`, weights included: the graph's own where it is all there is."""
    files = [entry.sha256 for layer in layers if layer.role == "model" for entry in layer.entries]
    return f"sha256:{files[0]}" if len(files) == 1 else sha256(encode(files))
