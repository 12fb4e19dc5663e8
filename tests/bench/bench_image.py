"""Images of the quickstart: from a changed model to a new image in a registry, against Docker's own way.

    python tests/bench/bench_image.py          needs what `make testbed` installs, as root

Both have the same base (the tests' Debian) in the same real registry, the same files, and warm caches: Docker
has one COPY for each layer of the bundle, the model last, and an earlier image built and pushed. A round is a
model of other bytes. The ratios are medians of the rounds' ratios:

1. `mlship image build --push` as a command: at least 8 times as fast as docker build and push.
2. The same inside a process that has done it before: at least 50 times.
3. From nothing (no cache, an empty repository): at least 5 times.
4. The image has at most 150 MB more than its base, unpacked; two builds in two places have one digest.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "samples"))
BIN = Path(sys.prefix, "bin")
ROUNDS, COLD_ROUNDS = 7, 3
VERSION = "1.0.0"  # of the quickstart
COMMAND_LIMIT, PROCESS_LIMIT, COLD_LIMIT, SIZE_LIMIT = 8.0, 50.0, 5.0, 150.0
Timed = tuple[float, Any]


@dataclass
class Bench:
    """`host` is the registry's, `project` the quickstart with `digests` of its variants, the first built."""

    engine: Any
    host: str
    project: Path
    contexts: Path
    digests: list[str]

    @property
    def base(self) -> str:
        return f"{self.host}/base:1"

    def docker(self, number: int, repository: str, *options: str) -> float:
        """Seconds to build the variant and push it."""
        image = f"{self.host}/{repository}:{number}"
        context = str(self.contexts / str(number))

        def both() -> None:
            self.engine.docker("build", "--quiet", "--network", "none", *options, "--tag", image, context)
            self.engine.docker("push", "--quiet", image)

        return timed(both)[0]

    def command(self, number: int, repository: str, **environment: str) -> float:
        words = ["image", "build", f"quick@{self.digests[number]}", "--base", self.base]
        words += ["--push", f"{self.host}/{repository}:{number}", "--quiet"]
        return timed(
            lambda: subprocess.run(
                [str(BIN / "mlship"), *words],
                cwd=self.project,
                env={**os.environ, **environment},
                check=True,
                capture_output=True,
            )
        )[0]

    def inside(self, number: int, repository: str) -> Timed:
        """In this process; the seconds and what was built."""
        from mlship.ops.context import Context
        from mlship.ops.image_build import build_image

        ref, to = f"quick@{self.digests[number]}", f"{self.host}/{repository}:{number}"
        return timed(lambda: build_image(Context.here(), ref, base=self.base, push=to))


def timed(work: Callable[[], Any]) -> Timed:
    began = time.perf_counter()
    found = work()
    return time.perf_counter() - began, found


def main() -> int:
    from docker_engines import can_run

    if not can_run() or not shutil.which("docker-registry"):
        print("an engine, the tests' Debian or docker-registry is not here: make testbed, as root")
        return 0
    for name in [name for name in os.environ if name.startswith("MLSHIP_") and name != "MLSHIP_TEST_CACHE"]:
        del os.environ[name]
    with tempfile.TemporaryDirectory(prefix="mlship-bench-") as scratch, started(Path(scratch)) as bench:
        os.chdir(bench.project)
        return 0 if all([size_holds(bench), change_holds(bench), cold_holds(bench, Path(scratch))]) else 1


@contextmanager
def started(folder: Path) -> Iterator[Bench]:
    from docker_engines import IMAGE, Engine
    from oci_servers import docker_registry

    os.environ["MLSHIP_HOME"], os.environ["MLSHIP_CACHE"] = f"{folder}/home", f"{folder}/cache"
    os.environ["DOCKER_CONFIG"], os.environ["VIRTUAL_ENV"] = f"{folder}/docker", sys.prefix
    (folder / "engine").mkdir()
    project = folder / "quick"
    mlship("init", str(project), at=folder)
    subprocess.run([sys.executable, "train.py"], cwd=project, check=True, capture_output=True)
    mlship("build", at=project)
    digests = variants(project, 1 + ROUNDS + COLD_ROUNDS)
    for number, digest in enumerate(digests):
        write_context(project, digest, folder / "contexts" / str(number))
    engine = Engine(folder / "engine")
    with docker_registry(folder / "registry") as server:
        for number in range(len(digests)):
            file = folder / "contexts" / str(number) / "Dockerfile"
            file.write_text(f"FROM {server.host}/base:1\n{file.read_text()}")
        engine.start()
        try:
            engine.take_debian()
            engine.docker("tag", IMAGE, f"{server.host}/base:1")
            engine.docker("push", "--quiet", f"{server.host}/base:1")
            yield Bench(engine, server.host, project, folder / "contexts", digests)
        finally:
            engine.end()


def mlship(*words: str, at: Path) -> None:
    subprocess.run([str(BIN / "mlship"), *words], cwd=at, check=True, capture_output=True)


def variants(project: Path, count: int) -> list[str]:
    """The project's bundle, and others of it whose model has a few bytes more; their digests."""
    from mlship.bundle.archive import write_layer
    from mlship.bundle.manifest import build_config, build_manifest, spec_descriptor
    from mlship.bundle.open import open_bundle
    from mlship.digest import sha256
    from mlship.reference import Reference
    from mlship.registry import open_registry
    from mlship_runtime.bundle import canonical

    registry: Any = open_registry(f"dir://{project}/.mlship/store")
    bundle = open_bundle(registry, Reference("quick", tag=VERSION))
    model = next(layer for layer in bundle.manifest.layers if layer.role == "model")
    (file,) = bundle.spec.files[model.digest]
    spec_digest = bundle.manifest.spec_layer.digest
    layers = [x for x in canonical.decode(bundle.manifest_bytes)["layers"] if x["digest"] != spec_digest]
    found = [bundle.digest]
    for number in range(1, count):
        content = b"".join(bundle.blob(model.digest))[512 : 512 + file.size] + os.urandom(64)
        layer = write_layer(project / "variant.tar", "model", [(file.path, content)])
        document = canonical.decode(b"".join(bundle.blob(spec_digest)))
        del document["files"][model.digest]
        document["files"][layer.digest] = layer.index()
        spec = canonical.encode(document)
        kept = [layer.descriptor() if x["digest"] == model.digest else x for x in layers]
        descriptors = [*kept, spec_descriptor(spec)]
        config = build_config("quick", VERSION, descriptors)
        for data in (spec, config, layer.path.read_bytes()):
            registry.write_blob("quick", sha256(data), len(data), [data])
        manifest = build_manifest("quick", VERSION, descriptors, config, labelled=bundle.manifest.is_labelled)
        found.append(registry.write_manifest("quick", manifest))
        assert number == len(found) - 1
    return found


def write_context(project: Path, digest: str, folder: Path) -> None:
    """The same files as a context for Docker, one COPY for each layer, the model's last."""
    from mlship.bundle.open import open_bundle
    from mlship.reference import Reference
    from mlship.registry import open_registry

    bundle = open_bundle(open_registry(f"dir://{project}/.mlship/store"), Reference("quick", digest=digest))
    lines = []
    layers = sorted(bundle.manifest.layers, key=lambda layer: layer.role == "model")
    for number, layer in enumerate(layer for layer in layers if layer.is_tar):
        place = folder / str(number)
        place.mkdir(parents=True)
        content = b"".join(bundle.blob(layer.digest))
        subprocess.run(["tar", "-x", "-C", str(place)], input=content, check=True)
        lines.append(f"COPY {number}/ /")
    (folder / "Dockerfile").write_text("\n".join([*lines, "USER 65532:65532", 'CMD ["serve"]', ""]))


def size_holds(bench: Bench) -> bool:
    image = bench.inside(0, "size")[1]
    place = str(bench.project / "elsewhere")
    mlship(
        "image",
        "build",
        f"quick@{bench.digests[0]}",
        "--base",
        bench.base,
        "--output",
        place,
        at=bench.project,
    )
    from mlship.image.opened import open_images
    from mlship.image.places import parse_image

    data, (opened,) = open_images(parse_image(place))
    from mlship.digest import sha256

    own = sum(layer.size for layer in opened.manifest.layers[len(opened.layers_of_base()) :]) / 1e6
    print(f"the image has {own:.1f} MB more than its base")
    same = sha256(data) == image.digest
    print(f"two builds in two places: {'one digest' if same else 'TWO DIGESTS'}")
    return verdict("MB above the base, unpacked", own, most=SIZE_LIMIT) and same


def change_holds(bench: Bench) -> bool:
    bench.docker(0, "theirs")
    bench.command(0, "ours")
    bench.inside(0, "inside")
    rounds = []
    for number in range(1, ROUNDS + 1):
        theirs = bench.docker(number, "theirs")
        command = bench.command(number, "ours")
        inside, _ = bench.inside(number, "inside")
        print(f"docker {theirs:.3f} s   mlship {command:.3f} s   inside {inside * 1000:.1f} ms")
        rounds.append((theirs / command, theirs / inside))
    return all(
        [
            verdict(
                "docker / mlship, a changed model", statistics.median(x for x, _ in rounds), COMMAND_LIMIT
            ),
            verdict("the same in one process", statistics.median(x for _, x in rounds), PROCESS_LIMIT),
        ]
    )


def cold_holds(bench: Bench, folder: Path) -> bool:
    ratios = []
    for number in range(1 + ROUNDS, 1 + ROUNDS + COLD_ROUNDS):
        theirs = bench.docker(number, f"cold-theirs-{number}", "--no-cache")
        ours = bench.command(number, f"cold-ours-{number}", MLSHIP_CACHE=f"{folder}/cold-{number}")
        print(f"from nothing: docker {theirs:.2f} s   mlship {ours:.2f} s")
        ratios.append(theirs / ours)
    return verdict("docker / mlship, from nothing", statistics.median(ratios), COLD_LIMIT)


def verdict(what: str, value: float, least: float = 0.0, *, most: float = float("inf")) -> bool:
    held = least <= value <= most
    limit = f"at least {least:g}" if most == float("inf") else f"at most {most:g}"
    print(f"{what}: {value:.1f}, {limit}: {'held' if held else 'BROKEN'}")
    return held


if __name__ == "__main__":
    sys.exit(main())
