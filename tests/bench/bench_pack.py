"""A gigabyte of weights: packing and verifying against hashing and copying the same bytes, and what one
changed tensor sends.

Packing is from the converted model (its file) to layers and manifest. Everything is in the page cache, and
written files are on the disk when their time ends: the copy's as well as the layers'. Five rounds, each doing
all of it; the ratios are medians of the rounds' ratios. Needs about 4 GiB of disk, and two processors
that nobody else uses: verifying hashes twice at once, each layer and the files in it. Its CPU time says what
it costs where that is not so: twice that of hashing, and a little.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
ROUNDS = 5
WIDTH, DEPTH = 2048, 64  # 64 tensors of 16 MiB
PACK_LIMIT, RSS_LIMIT, VERIFY_SLACK, CHANGED_LIMIT = 1.3, 250.0, 0.2, 0.07
VERIFY_CPU_LIMIT = 2.2
CHUNK = 1 << 20


def main() -> int:
    if sys.argv[1:2] == ["pack"]:  # in a process of its own, so that its memory is its own
        return pack(Path(sys.argv[2]), Path(sys.argv[3]))
    with tempfile.TemporaryDirectory(prefix="mlship-bench-") as scratch:
        return bench(Path(scratch))


def bench(folder: Path) -> int:
    model, other = folder / "model.onnx", folder / "other.onnx"
    write(model)
    write(other, changed="w31")
    packs, verifies, costs, peaks = [], [], [], []
    for number in range(ROUNDS):
        out = folder / f"round{number}"
        hashing = timed(lambda: hashed(model))
        copying = timed(lambda: copied(model, folder / "copy"))
        seconds, peak = packed(model, out)
        registry, reference, size = registered(out)
        again = timed(lambda o=out: hashed_blobs(o / "registry"))
        worked = (
            cpu(lambda o=out: hashed_blobs(o / "registry")),
            cpu(lambda r=registry, n=reference: verified(r, n)),
        )
        verifying = timed(lambda r=registry, n=reference: verified(r, n))
        print(
            f"round {number + 1}: {size / 2**30:.2f} GiB  sha256 {hashing:.2f} s  copy {copying:.2f} s  "
            f"pack {seconds:.2f} s = {seconds / (hashing + copying):.2f}x, peak {peak:.0f} MiB  "
            f"verify {verifying:.2f} s = hashing ({again:.2f} s) {verifying - again:+.2f} s, "
            f"CPU {worked[1]:.2f} s = {worked[1] / worked[0]:.2f}x, load {os.getloadavg()[0]:.1f}"
        )
        packs.append(seconds / (hashing + copying))
        verifies.append(verifying - again)
        costs.append(worked[1] / worked[0])
        peaks.append(peak)
        if number < ROUNDS - 1:
            shutil.rmtree(out)
    changed = folder / "changed"
    packed(other, changed)
    share = new_bytes(out, changed)
    results = [
        ("pack / (sha256 + copy)", statistics.median(packs), PACK_LIMIT),
        ("peak memory of packing, MiB", max(peaks), RSS_LIMIT),
        ("verify - hashing, s", statistics.median(verifies), VERIFY_SLACK),
        ("verify / hashing, CPU", statistics.median(costs), VERIFY_CPU_LIMIT),
        ("new bytes for one changed tensor", share, CHANGED_LIMIT),
    ]
    for what, found, limit in results:
        print(f"{what}: {found:.3f} (at most {limit}) {'ok' if found <= limit else 'MISSED'}")
    return any(found > limit for _, found, limit in results)


def write(path: Path, changed: str = "") -> None:
    code = (
        "import sys; from pathlib import Path; from tests.samples.large_model import write_perceptron as w; "
        "w(Path(sys.argv[1]), width=int(sys.argv[2]), depth=int(sys.argv[3]), changed=sys.argv[4])"
    )
    command = [sys.executable, "-c", code, str(path), str(WIDTH), str(DEPTH), changed]
    subprocess.run(command, cwd=ROOT, check=True)
    hashed(path)  # into the page cache
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def cpu(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def hashed(path: Path) -> str:
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hashed_blobs(registry: Path) -> None:
    for blob in (registry / "blobs" / "sha256").iterdir():
        hashed(blob)


def copied(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    with source.open("rb", buffering=0) as given, target.open("wb", buffering=0) as taken:
        while chunk := given.read(CHUNK):
            taken.write(chunk)
        os.fsync(taken.fileno())


def packed(model: Path, out: Path) -> tuple[float, float]:
    """Seconds and peak memory in MiB, as the process says."""
    out.mkdir()
    done = subprocess.run(
        [sys.executable, __file__, "pack", str(model), str(out)], capture_output=True, text=True, check=True
    )
    seconds, peak = done.stdout.split()
    return float(seconds), float(peak)


def pack(model: Path, out: Path) -> int:
    from mlship.bundle.models.model_layers import model_layers
    from mlship.bundle.models.shards import split

    start = time.perf_counter()
    graph, shards = split(model, None)
    converted: Any = SimpleNamespace(graph=graph, shards=shards, unconverted=None)
    layers = model_layers(converted, out)
    documents = described(layers, out)
    for name, data in documents.items():
        (out / name).write_bytes(data)
    seconds = time.perf_counter() - start
    print(seconds, peak())
    return 0


def described(layers: list[Any], out: Path) -> dict[str, bytes]:
    """Spec, config and manifest over the model's layers and a runtime and golden layer of no size."""
    from tests.samples.sample_bundle import make_spec

    from mlship.bundle.archive import write_layer
    from mlship.bundle.manifest import build_config, build_manifest, spec_descriptor
    from mlship_runtime.bundle.canonical import encode

    layers.append(write_layer(out / "any.tar", "runtime", [("runtime/any/x.py", b"")], platform="any"))
    layers.append(write_layer(out / "golden.tar", "golden", [("golden/golden.json", b"{}")]))
    spec = encode({**make_spec(layers), "reduction": None})
    descriptors = [*(layer.descriptor() for layer in layers), spec_descriptor(spec)]
    config = build_config("churn", "1.0", descriptors)
    manifest = build_manifest("churn", "1.0", descriptors, config)
    return {"mlship.json": spec, "config.json": config, "manifest.json": manifest}


def peak() -> float:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def registered(out: Path) -> tuple[Any, Any, int]:
    """A registry with the bundle that was packed into `out`, and the bundle's bytes."""
    from mlship.digest import sha256
    from mlship.reference import parse_reference
    from mlship.registry import open_registry

    registry: Any = open_registry(f"dir://{out}/registry")
    size = 0
    for path in [*out.glob("*.tar"), out / "mlship.json", out / "config.json"]:
        digest = "sha256:" + hashed(path)
        registry.adopt_blob("churn", digest, path.stat().st_size, path)
        size += path.stat().st_size
    digest = registry.write_manifest("churn", (out / "manifest.json").read_bytes())
    assert digest == sha256((out / "manifest.json").read_bytes())
    return registry, parse_reference(f"churn@{digest}"), size


def verified(registry: Any, reference: Any) -> None:
    from mlship.bundle.open import open_bundle, verify_bundle

    verify_bundle(open_bundle(registry, reference))


def new_bytes(before: Path, after: Path) -> float:
    """The share of the second bundle's bytes that are in no layer of the first."""
    known = {hashed(path) for path in before.glob("*.tar")}
    files = [*after.glob("*.tar"), after / "mlship.json", after / "config.json", after / "manifest.json"]
    sizes = {path: path.stat().st_size for path in files}
    return sum(size for path, size in sizes.items() if hashed(path) not in known) / sum(sizes.values())


if __name__ == "__main__":
    sys.exit(main())
