"""Weights beyond the limit travel in shards: the same digest each time, little moves when little changes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from tests.samples.large_model import write_perceptron

from mlship.bundle.models.shards import MAX_SHARDS, SHARD_BYTES
from mlship.bundle.open import verify_bundle
from mlship.errors import BuildError, BundleError

pytestmark = [pytest.mark.e2e, pytest.mark.builds, pytest.mark.timeout(300)]

MLSHIP = [sys.executable, "-m", "mlship.cli.main"]
TOML = '[model]\nsource = "model.onnx"\n[golden]\nfrom = "rows.npy"\nrows = 4\n'
WIDTH = 128
SMALL = 256 << 10  # bytes of a shard: four of the small model's tensors


@pytest.fixture
def root(project) -> Path:
    """A project around a model of 16 x 64 KiB."""
    made: Path = project(TOML)
    np.save(made / "rows.npy", np.random.default_rng(1).standard_normal((8, WIDTH), dtype=np.float32))
    write_perceptron(made / "model.onnx", width=WIDTH, depth=16)
    return made


def model_layers(built) -> dict[str, str]:
    """Digest by title."""
    return {layer.title: layer.digest for layer in built.manifest.layers if layer.role == "model"}


def test_weights_become_layers_of_whole_tensors(root, build, opened) -> None:
    built = build(root, shard_bytes=SMALL)
    shards = [layer for layer in built.manifest.layers if layer.title.startswith("shard-")]
    assert 4 <= len(shards) <= 16
    assert all(layer.size <= SMALL + 4096 for layer in shards)
    paths = [entry.path for layer in shards for entry in built.spec.files[layer.digest]]
    assert len(paths) == len(shards)
    assert all(path.startswith("model/shards/") for path in paths)
    assert built.manifest.layers[0].title == "model.tar"
    assert built.manifest.layers[0].size < 64 << 10
    bundle = opened(root, built)
    verify_bundle(bundle)
    golden = bundle.golden()
    session = onnxruntime.InferenceSession(root / "model.onnx", providers=["CPUExecutionProvider"])
    rows = np.array(golden["inputs"][0]["data"], "f4").reshape(-1, WIDTH)
    assert golden["outputs"][0]["data"] == pytest.approx(session.run(None, {"x": rows})[0].ravel(), abs=1e-5)


READ = """
import re, resource, sys
from pathlib import Path
import onnx
from mlship.bundle.children.taken import read
said = Path("/proc/self/status").read_text()
data = int(re.search("VmData:[^0-9]*([0-9]+)", said)[1]) << 10
resource.setrlimit(resource.RLIMIT_DATA, (data + (24 << 20),) * 2)
print(read(Path(sys.argv[1]))[1:])
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux says how much a process has")
def test_taking_a_model_needs_no_memory_for_its_weights(tmp_path: Path) -> None:
    """64 MiB of weights, by a process that may take 24 MiB more than onnx has taken already."""
    write_perceptron(tmp_path / "m.onnx", width=512, depth=64)
    assert (tmp_path / "m.onnx").stat().st_size > 64 << 20
    command = [sys.executable, "-c", READ, str(tmp_path / "m.onnx")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("(18, False)\n", "")


def test_weights_up_to_the_limit_stay_in_the_graph(root, build) -> None:
    assert list(model_layers(build(root, shard_bytes=2 << 20))) == ["model.tar"]


def test_one_changed_tensor_is_one_other_shard(root, build) -> None:
    before = build(root, shard_bytes=SMALL)
    assert build(root, shard_bytes=SMALL, locked=True).digest == before.digest
    write_perceptron(root / "model.onnx", width=WIDTH, depth=16, changed="w07")
    with pytest.raises(BuildError, match=r"does not fit the project.*model\.graph"):
        build(root, shard_bytes=SMALL, locked=True)
    after = build(root, shard_bytes=SMALL)
    one, two = model_layers(before), model_layers(after)
    assert one.keys() == two.keys()
    assert len([title for title in one if one[title] != two[title]]) == 1
    assert one["model.tar"] == two["model.tar"]
    assert "golden.inputs" in after.changed


def test_an_added_layer_leaves_most_shards_as_they_are(root, build) -> None:
    before = model_layers(build(root, shard_bytes=SMALL))
    model = onnx.load(root / "model.onnx")
    copied = onnx.TensorProto()
    copied.CopyFrom(model.graph.initializer[8])
    copied.name = "added"
    model.graph.initializer.insert(8, copied)
    node = onnx.helper.make_node("MatMul", ["hidden03", "added"], ["more"])
    model.graph.node.insert(8, node)
    model.graph.node[9].input[0] = "more"
    onnx.save_model(model, root / "model.onnx")
    after = model_layers(build(root, shard_bytes=SMALL))
    new = set(after.values()) - set(before.values())
    assert 2 <= len(new) <= 4  # the graph, and the shards around the new tensor


def test_a_model_with_weights_in_other_files_gives_the_same_bundle(root, build) -> None:
    inside = build(root, shard_bytes=SMALL)
    write_perceptron(root / "model.onnx", width=WIDTH, depth=16, outside="weights.bin")
    assert (root / "model.onnx").stat().st_size < 64 << 10
    assert build(root, shard_bytes=SMALL, locked=True).digest == inside.digest


def test_few_weights_in_other_files_come_into_the_graph(root, build) -> None:
    inside = build(root)
    write_perceptron(root / "model.onnx", width=WIDTH, depth=16, outside="weights.bin")
    assert build(root, locked=True).digest == inside.digest
    assert list(model_layers(inside)) == ["model.tar"]


def test_weights_that_lie_elsewhere_are_refused_before_they_are_read(root, build) -> None:
    write_perceptron(root / "model.onnx", width=WIDTH, depth=2, outside="weights.bin")
    real = root / "weights.bin"
    real.rename(root.parent / "stolen.bin")
    real.symlink_to(root.parent / "stolen.bin")
    with pytest.raises(BuildError, match="is a link"):
        build(root)
    real.unlink()
    os.link(root.parent / "stolen.bin", real)
    with pytest.raises(BuildError, match="second name"):
        build(root)


def test_one_flipped_bit_of_a_shard_is_found_in_the_registry(root, build, opened) -> None:
    built = build(root, shard_bytes=SMALL)
    shard = next(layer for layer in built.manifest.layers if layer.title.startswith("shard-"))
    flip(root / ".mlship/store/blobs/sha256" / shard.digest[7:], 100_000)
    with pytest.raises(BundleError, match=f"{shard.title} in .* is damaged"):
        verify_bundle(opened(root, built))


def flip(path: Path, at: int) -> None:
    """One bit of the file at `path` is another one."""
    path.parent.chmod(0o755)
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


@pytest.fixture
def large(project):
    """A project around 100 MB of weights, and `run(words, wanted exit code)` for commands in it; the target
    is empty afterwards."""
    root = project('[model]\nsource = "model.onnx"\n[golden]\nfrom = "rows.npy"\nrows = 4\n', name="large")
    np.save(root / "rows.npy", np.random.default_rng(1).standard_normal((8, 2048), dtype=np.float32))
    write_perceptron(root / "model.onnx", width=2048, depth=6)

    def run(*words: str, code: int = 0):
        done = subprocess.run([*MLSHIP, *words, "--json"], cwd=root, capture_output=True, text=True)
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    yield root, run
    run("destroy", "local", "--yes", "--purge")


def test_a_large_model_from_build_to_answer(large, own_home) -> None:
    root, run = large
    first = run("build")["result"]
    assert run("build", "--locked")["result"]["digest"] == first["digest"]
    layers = run("inspect")["result"]["layers"]
    shards = [layer for layer in layers if layer["title"].startswith("shard-")]
    assert 2 <= len(shards) <= MAX_SHARDS
    assert all(layer["size"] <= SHARD_BYTES + 4096 for layer in shards)
    run("verify")
    run("deploy", "local")
    row = np.load(root / "rows.npy")[:1]
    answer = run("invoke", "local", "--data", json.dumps({"inputs": row.tolist()}))["result"]
    session = onnxruntime.InferenceSession(root / "model.onnx", providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"x": row})
    assert np.ravel(answer["body"]["predictions"]) == pytest.approx(expected.ravel(), abs=1e-4)

    write_perceptron(root / "model.onnx", width=2048, depth=6, changed="w03")
    second = run("build")["result"]
    changed = {layer["digest"] for layer in run("inspect")["result"]["layers"]}
    assert len([shard for shard in shards if shard["digest"] not in changed]) == 1
    assert second["digest"] != first["digest"]

    sent = next(shard for shard in shards if shard["digest"] in changed)
    flip(own_home / "targets/local/layers" / sent["digest"][7:] / file_of(own_home, sent), 5_000_000)
    told = run("deploy", "local", code=4)
    assert "was damaged" in told["error"]["what"]
    assert run("status", "local")["result"]["live"]["digest"] == first["digest"]
    assert run("deploy", "local")["result"]["release"]["digest"] == second["digest"]


def file_of(home: Path, shard: dict[str, str]) -> Path:
    """The one file of a shard's layer."""
    folder = home / "targets/local/layers" / shard["digest"][7:]
    (found,) = folder.rglob("*.bin")
    return found.relative_to(folder)
