"""Pushing to and pulling from a real OCI registry, against a bare HTTP client and skopeo with the same blobs.

    python tests/bench/bench_push_oci.py [MIB]     256 without it; the promise is about 1024

The bundle has 16 weight layers. The bare client has as many connections, sends from files, and hashes nothing
on the way up; on the way down it hashes and writes to the disk, as a pull does. Each push meets an empty
registry. Five rounds of all of it, one after the other; the ratios are medians of the rounds' ratios. Needs
about six times MIB of disk.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "samples"))
ROUNDS = 5
LAYERS, AT_ONCE = 16, 4
PUSH_LIMIT, SKOPEO_LIMIT, PULL_LIMIT, RSS_LIMIT = 1.25, 1.0, 1.3, 200.0
CHUNK = 1 << 20


def main() -> int:
    if sys.argv[1:2] == ["copy"]:  # in a process of its own, so that its memory is its own
        return copied(*sys.argv[2:])
    if not shutil.which("docker-registry"):
        print("docker-registry is not here: make testbed")
        return 0
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 256
    with tempfile.TemporaryDirectory(prefix="mlship-bench-") as scratch:
        os.environ["MLSHIP_CACHE"] = f"{scratch}/cache"
        return bench(Path(scratch), size << 20)


def bench(folder: Path, size: int) -> int:
    source, digest = made(folder / "source", size)
    blobs = sorted((folder / "source" / "blobs" / "sha256").iterdir(), key=lambda path: -path.stat().st_size)
    layout = laid_out(folder, source, digest)
    ratios: dict[str, list[float]] = {"push": [], "skopeo": [], "pull": []}
    peaks, again = [], 0
    for number in range(ROUNDS):
        with registry(folder) as host:
            bare_up = timed(partial(each, blobs, partial(put, host)))
        with registry(folder) as host:
            sent, push, peak_up = mlship(source, f"oci://{host}/team", digest)
            assert sent == sum(blob.stat().st_size for blob in blobs)
            again += mlship(source, f"oci://{host}/team", digest)[0]
            target = folder / "bare"
            target.mkdir()
            bare_down = timed(partial(each, blobs, partial(get, host, target)))
            shutil.rmtree(target)
            _, pull, peak_down = mlship(f"oci://{host}/team", f"dir://{folder}/target", digest)
            shutil.rmtree(folder / "target")
        line = f"round {number + 1}: bare push {bare_up:.2f} s  mlship {push:.2f} s  "
        ratios["push"].append(push / bare_up)
        ratios["pull"].append(pull / bare_down)
        peaks += [peak_up, peak_down]
        if layout:
            with registry(folder) as host:
                skopeo = timed(partial(carried, layout, f"docker://{host}/team/churn:1"))
            ratios["skopeo"].append(push / skopeo)
            line += f"skopeo {skopeo:.2f} s  "
        print(
            line
            + f"bare pull {bare_down:.2f} s  mlship {pull:.2f} s  peaks {peak_up:.0f}, {peak_down:.0f} MiB"
        )
    results = [
        ("push / bare client", statistics.median(ratios["push"]), PUSH_LIMIT),
        ("pull / (bare download + sha256)", statistics.median(ratios["pull"]), PULL_LIMIT),
        ("peak memory, MiB", max(peaks), RSS_LIMIT),
        ("bytes of the second push", float(again), 0.0),
    ]
    if layout:
        results.append(("push / skopeo", statistics.median(ratios["skopeo"]), SKOPEO_LIMIT))
    for what, found, limit in results:
        print(f"{what}: {found:.3f} (at most {limit}) {'ok' if found <= limit else 'MISSED'}")
    return any(found > limit for _, found, limit in results)


def made(folder: Path, size: int) -> tuple[str, str]:
    """The URL of a folder registry with a bundle of 16 large layers, and its digest."""
    from sample_bundle import make_layers, make_spec, write_bundle

    from mlship.bundle.archive import write_layer
    from mlship.registry import open_registry

    url = f"dir://{folder}"
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        layers = make_layers(Path(scratch))[1:]
        weights = [
            write_layer(
                Path(scratch) / f"model-{number:02}.tar",
                "model",
                [(f"model/weights-{number:02}.bin", os.urandom(size // LAYERS))],
            )
            for number in range(LAYERS)
        ]
        sink: Any = open_registry(url)
        return url, write_bundle(sink, [*weights, *layers], make_spec([*weights, *layers]))


def laid_out(folder: Path, source: str, digest: str) -> str:
    """The same bundle as an OCI layout for skopeo; empty if that is not here."""
    if not shutil.which("skopeo"):
        return ""
    layout = f"oci:{folder}/layout:1"
    with registry(folder) as host:
        mlship(source, f"oci://{host}/team", digest)
        carried(f"docker://{host}/team/churn:1", layout)
    return layout


def carried(source: str, target: str) -> None:
    words = ["--preserve-digests", "--src-tls-verify=false", "--dest-tls-verify=false"]
    subprocess.run(["skopeo", "copy", "-q", *words, source, target], check=True)


@contextmanager
def registry(folder: Path) -> Iterator[str]:
    from oci_servers import docker_registry

    place = folder / "server"
    os.sync()  # what was written before is not part of what is measured
    with docker_registry(place) as server:
        yield server.host
    shutil.rmtree(place)


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def each(blobs: list[Path], work: Callable[[Path], None]) -> None:
    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(work, blobs))


def put(host: str, blob: Path) -> None:
    connection = http.client.HTTPConnection(host, blocksize=CHUNK)
    connection.request("POST", "/v2/bare/blobs/uploads/", headers={"Content-Length": "0"})
    response = connection.getresponse()
    response.read()
    place = response.headers["Location"].partition(host)[2]
    with blob.open("rb", buffering=0) as file:
        headers = {"Content-Length": str(blob.stat().st_size), "Content-Type": "application/octet-stream"}
        connection.request("PUT", f"{place}&digest=sha256:{blob.name}", body=file, headers=headers)
        response = connection.getresponse()
    response.read()
    assert response.status == 201, response.status
    connection.close()


def get(host: str, target: Path, blob: Path) -> None:
    name = blob.name
    connection = http.client.HTTPConnection(host)
    connection.request("GET", f"/v2/team/churn/blobs/sha256:{name}")
    response = connection.getresponse()
    hasher = hashlib.sha256()
    with (target / name).open("wb", buffering=0) as file:
        while piece := response.read(CHUNK):
            hasher.update(piece)
            file.write(piece)
        os.fsync(file.fileno())
    assert hasher.hexdigest() == name
    connection.close()


def mlship(source: str, target: str, digest: str) -> tuple[int, float, float]:
    """Bytes that were sent, seconds, and peak memory in MiB, as the process says."""
    words = [sys.executable, __file__, "copy", source, target, digest]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    sent, seconds, peak = done.stdout.split()
    return int(sent), float(seconds), float(peak)


def copied(source: str, target: str, digest: str) -> int:
    from mlship.registry import open_registry
    from mlship.registry.oci.registry import open_oci
    from mlship.registry.transfer import copy

    assert callable(open_oci)  # imported before the clock starts, as the bare client's library is
    start = time.perf_counter()
    done = copy(open_registry(source), open_registry(target), "churn", digest, tag="1")
    seconds = time.perf_counter() - start
    print(done.sent_bytes, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    return 0


if __name__ == "__main__":
    sys.exit(main())
