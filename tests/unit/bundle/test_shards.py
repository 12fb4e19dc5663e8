"""Which tensors share a shard: few bytes move when one changes, and there are never too many."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from mlship.bundle.archive import Stretch
from mlship.bundle.models.shards import MAX_SHARDS, Shard, Weight, divide, split

MIB = 1 << 20


def weights(sizes: list[int], prefix: str = "layer") -> list[Weight]:
    return [
        Weight(f"{prefix}.{number}.weight", Stretch(Path("m"), 0, size)) for number, size in enumerate(sizes)
    ]


def size(shard: Shard) -> int:
    return sum(stretch.length for stretch in shard.stretches)


def names(shard: Shard) -> list[str]:
    return [name for name, _, _ in shard.places]


def known(shards: tuple[Shard, ...]) -> dict[tuple[str, ...], int]:
    """What a registry that has these shards need not get again."""
    return {(shard.name, *names(shard)): size(shard) for shard in shards}


@settings(max_examples=60)
@given(st.lists(st.integers(1, 3000), min_size=1, max_size=400), st.integers(8, 4096))
def test_whole_tensors_in_their_order_and_never_too_many(sizes: list[int], limit: int) -> None:
    given_weights = weights([size << 8 for size in sizes])
    shards = divide(given_weights, limit << 8)
    assert [name for shard in shards for name in names(shard)] == [weight.name for weight in given_weights]
    assert len(shards) <= MAX_SHARDS
    assert len({shard.name for shard in shards}) == len(shards)
    for shard in shards:
        end = 0
        for _, offset, length in shard.places:
            assert offset % 4096 == 0
            assert end <= offset < end + 4096
            end = offset + length
        assert size(shard) == end


@pytest.mark.parametrize("total", [1, 2, 3.5])
def test_shards_up_to_four_gib_keep_to_the_limit(total: float) -> None:
    many = weights([8 * MIB] * int(total * 128))
    assert max(size(shard) for shard in divide(many, 64 * MIB)) <= 64 * MIB


def test_shards_of_more_than_that_are_larger() -> None:
    shards = divide(weights([16 * MIB] * 1024), 64 * MIB)
    assert len(shards) <= MAX_SHARDS
    assert 256 * MIB <= max(size(shard) for shard in shards) <= 400 * MIB


def test_a_tensor_beyond_the_limit_begins_a_shard_of_its_own() -> None:
    shards = divide(weights([MIB, 90 * MIB, MIB, MIB]), 64 * MIB)
    assert [names(shard)[0] for shard in shards] == ["layer.0.weight", "layer.1.weight", "layer.2.weight"]


def test_an_inserted_tensor_moves_few_others() -> None:
    rng = random.Random(0)
    sizes = [rng.choice([1, 4, 8, 16]) * MIB for _ in range(160)]
    many = weights(sizes)
    total, before, moved = sum(sizes), known(divide(many, 64 * MIB)), []
    for at in range(0, 160, 8):
        more = [*many[:at], *weights([8 * MIB], f"new{at}"), *many[at:]]
        moved.append(sum(s for key, s in known(divide(more, 64 * MIB)).items() if key not in before))
    assert sum(moved) / len(moved) < 0.07 * total
    assert max(moved) < 0.2 * total


def test_a_removed_tensor_moves_few_others() -> None:
    many = weights([16 * MIB] * 64)
    before, moved = known(divide(many, 64 * MIB)), []
    for at in range(64):
        after = known(divide(many[:at] + many[at + 1 :], 64 * MIB))
        moved.append(sum(size for key, size in after.items() if key not in before))
    assert sum(moved) / len(moved) < 0.07 * 1024 * MIB


def model(tmp_path: Path, tensors: list[onnx.TensorProto]) -> Path:
    nodes = [helper.make_node("Identity", [tensors[0].name], ["y"])]
    out = helper.make_tensor_value_info("y", tensors[0].data_type, tensors[0].dims)
    made = helper.make_model(helper.make_graph(nodes, "g", [], [out], tensors))
    path = tmp_path / "m.onnx"
    path.write_bytes(made.SerializeToString())
    return path


def test_what_is_sharded_reads_back_as_it_was(tmp_path: Path) -> None:
    arrays = {
        "single": np.arange(1000, dtype="f4"),
        "double": np.arange(700, dtype="f8"),
        "half": np.arange(900, dtype="f2"),
        "whole": np.arange(300, dtype="i8"),
        "small": np.arange(4, dtype="f4"),
    }
    tensors = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    for name in ("single", "double"):  # as some converters write them
        array = arrays[name]
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        tensors[list(arrays).index(name)] = helper.make_tensor(name, kind, array.shape, array)
    tensors.append(helper.make_tensor("numbers", TensorProto.INT64, [400], list(range(400))))
    tensors.append(helper.make_tensor("texts", TensorProto.STRING, [1], [b"x" * 5000]))
    path = model(tmp_path, tensors)
    graph, shards = split(path, None, 2000)
    assert {name for shard in shards for name in names(shard)} == {"single", "double", "half", "whole"}
    (tmp_path / "out" / "shards").mkdir(parents=True)
    for shard in shards:
        content = b""
        for stretch in shard.stretches:
            data = bytes(stretch.length)
            if stretch.file:
                data = stretch.file.read_bytes()[stretch.offset : stretch.offset + stretch.length]
            content += data
        (tmp_path / "out" / "shards" / f"{shard.name}.bin").write_bytes(content)
    (tmp_path / "out" / "m.onnx").write_bytes(graph)
    onnx.checker.check_model(str(tmp_path / "out" / "m.onnx"))
    read = {t.name: t for t in onnx.load(tmp_path / "out" / "m.onnx").graph.initializer}
    for name, array in arrays.items():
        assert np.array_equal(numpy_helper.to_array(read[name]), array)
    assert numpy_helper.to_array(read["numbers"]).tolist() == list(range(400))
    assert numpy_helper.to_array(read["texts"]).tolist() == ["x" * 5000]
