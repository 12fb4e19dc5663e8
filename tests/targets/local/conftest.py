"""Real processes on this machine: tiny bundles, a base folder to stage them in, clients that never retry."""

from __future__ import annotations

import hashlib
import http.client
import itertools
import json
import os
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import mlship_runtime
from mlship_runtime.bundle import canonical, ustar
from mlship_runtime.bundle.manifest import ARTIFACT_TYPE, CONFIG_TYPE, LAYER_TYPES, MANIFEST_TYPE, digest_of
from mlship_runtime.platforms import this_platform

PYTHON = str(Path(sys.executable).resolve())
GROUND_FLOOR = Path(mlship_runtime.__file__).parent
BOOT = GROUND_FLOOR / "boot.py"
PACKAGES = ("numpy", "numpy.libs", "onnxruntime", "flatbuffers", "google")
PACKAGES += ("orjson", "msgspec", "httptools", "uvloop")
LEFT_OUT = ("tests", "transformers", "quantization", "tools", "datasets", "f2py", "distutils", "__pycache__")
PLATFORM = "-".join(str(this_platform()).split("-")[:3]) + ("-gnu2.28" if sys.platform == "linux" else "-14")
_names = itertools.count()


@dataclass(frozen=True)
class Layer:
    """One tar layer with its index; `place` is the folder of its paths."""

    role: str
    place: str
    tar: Path
    digest: str
    index: list[list[Any]]
    platform: str = ""


@dataclass(frozen=True)
class TinyBundle:
    """y = (x0 + x1) * weight as a bundle."""

    name: str
    manifest: bytes
    spec: bytes
    layers: tuple[Layer, ...]
    weight: float

    @property
    def digest(self) -> str:
        return digest_of(self.manifest)


def pack(folder: Path, role: str, place: str, files: dict[str, bytes | Path], platform: str = "") -> Layer:
    """`files` (path -> content) as a layer in `folder`."""
    part, index, whole = folder / "part.tar", [], hashlib.sha256()
    with part.open("wb") as tar:
        for path in sorted(files, key=str.encode):
            content = files[path]
            data = content if isinstance(content, bytes) else content.read_bytes()
            block = ustar.header(path, len(data)) + data + bytes(-len(data) % 512)
            index.append([path, len(data), hashlib.sha256(data).hexdigest()])
            whole.update(block)
            tar.write(block)
        whole.update(bytes(1024))
        tar.write(bytes(1024))
    digest = whole.hexdigest()
    return Layer(role, place, part.rename(folder / digest), "sha256:" + digest, index, platform)


@pytest.fixture(scope="session")
def runtime_layers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Layer, ...]:
    """This ground floor as the layer for any platform, and this environment's packages as another."""
    folder = tmp_path_factory.mktemp("layers")
    sources = {
        f"runtime/any/mlship_runtime/{path.relative_to(GROUND_FLOOR).as_posix()}": path.read_bytes()
        for path in GROUND_FLOOR.rglob("*.py")
    }
    site, files = Path(sysconfig.get_path("purelib")), {}
    for package in PACKAGES:
        for path in (site / package).rglob("*"):
            parts = path.relative_to(site).parts
            unwanted = set(parts) & set(LEFT_OUT) or path.suffix in (".pyi", ".h", ".a", ".pyx", ".pxd")
            if path.is_file() and not unwanted and not path.name.startswith("libonnxruntime.so"):
                files[f"runtime/{PLATFORM}/{path.relative_to(site).as_posix()}"] = path
    return (
        pack(folder, "runtime", "runtime/any", dict(sources), "any"),
        pack(folder, "runtime", f"runtime/{PLATFORM}", files, PLATFORM),
    )


MakeBundle = Callable[..., TinyBundle]


@pytest.fixture
def make_bundle(tmp_path: Path, runtime_layers: tuple[Layer, ...]) -> MakeBundle:
    """make_bundle(weight=2.0, recorded=…, reduction="def reduce…"): `recorded` is the weight of the golden
    answers, where they are to differ from the model's."""

    def make(weight: float = 2.0, *, recorded: float | None = None, reduction: str = "") -> TinyBundle:
        folder = tmp_path / f"bundle{next(_names)}"
        folder.mkdir()
        golden = _golden(weight if recorded is None else recorded)
        layers = [pack(folder, "model", "model", {"model/model.onnx": _model(weight)})]
        if reduction:
            layers.append(pack(folder, "reduction", "reduction", {"reduction/step.py": reduction.encode()}))
        layers += runtime_layers
        layers.append(pack(folder, "golden", "golden", {"golden/golden.json": json.dumps(golden).encode()}))
        spec = canonical.encode(_spec(layers, bool(reduction)))
        return TinyBundle("tiny", canonical.encode(_manifest(layers, spec)), spec, tuple(layers), weight)

    return make


def _model(weight: float) -> bytes:
    weights = helper.make_tensor("W", TensorProto.FLOAT, [2, 1], np.full(2, weight, np.float32))
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["X", "W"], ["y"])],
        "tiny",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _golden(weight: float) -> dict[str, Any]:
    rows = [(1.0, 2.0), (3.0, -1.5), (0.0, 0.0)]
    x = {"name": "X", "datatype": "FP32", "shape": [3, 2], "data": [value for row in rows for value in row]}
    y = {"name": "y", "datatype": "FP32", "shape": [3, 1], "data": [sum(row) * weight for row in rows]}
    return {"schemaVersion": 1, "inputs": [x], "outputs": [y]}


def _spec(layers: list[Layer], reduced: bool) -> dict[str, Any]:
    x = {"name": "X", "datatype": "FP32", "shape": [-1, 2], "nullable": False}
    y = {"name": "y", "datatype": "FP32", "shape": [-1, 1], "nullable": False}
    return {
        "schemaVersion": 1,
        "name": "tiny",
        "version": "1.0",
        "labels": {},
        "engine": "onnx",
        "model": {"path": "model/model.onnx", "framework": "onnx", "converter": {}, "opset": 17},
        "reduction": {"kind": "python", "module": "step", "function": "reduce"} if reduced else None,
        "assemble": {},
        "schema": {"inputs": [x], "reduced": [x] if reduced else [], "outputs": [y]},
        "golden": {"path": "golden/golden.json", "rows": 3, "tolerance": {"y": {"abs": 1e-5, "rel": 1e-5}}},
        "parity": {"rows": 3, "maxAbs": 0.0, "maxRel": 0.0, "decisionsEqual": True},
        "runtime": {"python": "3.11", "platforms": {PLATFORM: {"requirements": [], "trim": 1}}, "limits": {}},
        "files": {layer.digest: layer.index for layer in layers},
    }


def _manifest(layers: list[Layer], spec: bytes) -> dict[str, Any]:
    described = []
    for layer in layers:
        notes = {
            "org.opencontainers.image.title": f"{layer.place.replace('/', '-')}.tar",
            "org.cncf.model.filepath": layer.place,
            "vnd.mlship.role": layer.role,
            **({"vnd.mlship.platform": layer.platform} if layer.platform else {}),
        }
        size = layer.tar.stat().st_size
        described.append(
            {"mediaType": LAYER_TYPES[layer.role], "digest": layer.digest, "size": size, "annotations": notes}
        )
    notes = {
        "org.opencontainers.image.title": "mlship.json",
        "org.cncf.model.filepath": "mlship.json",
        "vnd.mlship.role": "spec",
    }
    described.append(
        {"mediaType": LAYER_TYPES["spec"], "digest": digest_of(spec), "size": len(spec), "annotations": notes}
    )
    return {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": ARTIFACT_TYPE,
        "config": {"mediaType": CONFIG_TYPE, "digest": digest_of(b"{}"), "size": 2},
        "layers": described,
        "annotations": {"org.opencontainers.image.title": "tiny", "org.opencontainers.image.version": "1.0"},
    }


@dataclass
class Onhost:
    """Far-side commands for one service, each in a process of its own, as an adapter runs them."""

    base: Path
    service: str
    python: str = PYTHON
    boot: Path = BOOT
    fence: int = 1
    settings: dict[str, Any] = field(
        default_factory=lambda: {"workers": 1, "readyTimeout": 30, "drainTimeout": 10}
    )

    def answer(self, verb: str, **fields: Any) -> dict[str, Any]:
        """The whole answer, ok or not."""
        request = {"base": str(self.base), "service": self.service, "fence": self.fence, **fields}
        done = subprocess.run(
            [self.python, "-I", "-S", "-B", "-u", str(self.boot), "host", verb],
            input=json.dumps(request).encode(),
            capture_output=True,
            timeout=120,
            env={"PATH": "/usr/bin:/bin", "SECRET": "canary"},
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def __call__(self, verb: str, **fields: Any) -> dict[str, Any]:
        """The answer of a command that must succeed."""
        answer = self.answer(verb, **fields)
        assert answer["ok"], answer
        return answer

    def refused(self, verb: str, **fields: Any) -> dict[str, Any]:
        """The error of a command that must not."""
        answer = self.answer(verb, **fields)
        assert not answer["ok"], answer
        error: dict[str, Any] = answer["error"]
        return error

    @property
    def incoming(self) -> Path:
        return self.base / "incoming" / self.service

    def send(self, bundle: TinyBundle) -> None:
        """Put what is not there yet into incoming, as an adapter does."""
        incoming = self.incoming
        incoming.mkdir(parents=True, exist_ok=True)
        present = set(self("observe")["layers"])
        for layer in bundle.layers:
            if layer.digest not in present:
                (incoming / layer.digest[7:]).write_bytes(layer.tar.read_bytes())
        for document in (bundle.manifest, bundle.spec):
            (incoming / digest_of(document)[7:]).write_bytes(document)

    def stage(self, number: int, bundle: TinyBundle, **settings: Any) -> dict[str, Any]:
        self.send(bundle)
        return self("stage", **self.release(number, bundle, **settings))

    def release(self, number: int, bundle: TinyBundle, **settings: Any) -> dict[str, Any]:
        """What an adapter says of a release that it stages."""
        environment = settings.pop("environment", {})
        wanted = {**self.settings, **settings, "environment": sorted(environment)}
        wanted["environmentDigest"] = digest_of(canonical.encode(environment))
        return {
            "release": number,
            "digest": bundle.digest,
            "reference": f"tiny:{number}",
            "platform": PLATFORM,
            "settings": wanted,
            "environment": environment,
            "settingsDigest": digest_of(canonical.encode(wanted)),
        }

    def deploy(self, number: int, bundle: TinyBundle, drain: float = 10, **settings: Any) -> dict[str, Any]:
        """The whole walk: stage, open, start, shift, settle."""
        self.stage(number, bundle, **settings)
        self("open", host="127.0.0.1", port=0)
        self("start", release=number, timeout=30)
        self("shift", release=number, drain=drain)
        return self("settle", release=number, timeout=drain + 10)

    def observed(self, number: int) -> dict[str, Any]:
        """What `observe` says of one release."""
        (found,) = [entry for entry in self("observe")["releases"] if entry["number"] == number]
        return dict(found)

    def wait(self, number: int, state: str, timeout: float = 15) -> dict[str, Any]:
        """Until a release is in `state`."""
        end = time.monotonic() + timeout
        while (seen := self.observed(number))["state"] != state:
            assert time.monotonic() < end, (seen["state"], seen["error"], seen["workers"])
            time.sleep(0.1)
        return seen

    def pids(self, number: int) -> list[int]:
        return [worker["pid"] for worker in self.observed(number)["workers"]]


@pytest.fixture(scope="session")
def shared_base(tmp_path_factory: pytest.TempPathFactory, runtime_layers: tuple[Layer, ...]) -> Path:
    """One base folder for many services. A record in it holds the runtime layers: they are unpacked once, and
    stay when a test's service goes."""
    base = tmp_path_factory.mktemp("base")
    record = base / "services" / "anchor" / "releases" / "1.json"
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps({"layers": {layer.digest: "" for layer in runtime_layers}}))
    return base


@pytest.fixture
def onhost(shared_base: Path) -> Iterator[Onhost]:
    """A service of this test's own in the shared base folder."""
    place = Onhost(shared_base, f"tiny{next(_names)}")
    yield place
    ended(place)


@pytest.fixture
def lonely(tmp_path: Path) -> Iterator[Onhost]:
    """A service alone in a base folder of its own, for tests that damage layers or look at what is left."""
    place = Onhost(tmp_path / "base", "tiny")
    yield place
    ended(place)


def ended(place: Onhost) -> None:
    """Destroy a service; nothing of it may go on running."""
    for log in sorted((place.base / "services" / place.service / "logs").glob("*.log")):
        print(f"--- {log.name}", *log.read_text().splitlines()[-60:], sep="\n")  # shown when the test fails
    place.fence = 1_000_000
    answer = place.answer("destroy", purge=False)
    left = remaining(place, 0)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert answer["ok"], answer
    assert not left, f"processes {left} outlived their service"


def remaining(place: Onhost, count: int) -> list[int]:
    """The pids of a service when `count` are left, or after 10 s: a process that has let go of all it held
    may still be on its way out."""
    end = time.monotonic() + 10
    while len(left := processes_of(place)) != count and time.monotonic() < end:
        time.sleep(0.05)
    return left


def processes_of(place: Onhost) -> list[int]:
    """The pids of the supervisor and the workers of a service, from the process table."""
    folder = os.fsencode(place.base / "services" / place.service)
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().split(b"\0")
        except OSError:
            continue
        if any(word == folder or word.startswith(folder + b"/") for word in words):
            found.append(int(entry.parent.name))
    return found


@dataclass
class Load:
    """Clients with one keep-alive connection each that never retry; `failures` says what went wrong."""

    port: int
    clients: int = 6
    answers: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    connections: int = 0

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._run, args=(n,), daemon=True) for n in range(self.clients)
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=30)

    @property
    def count(self) -> int:
        return sum(self.answers.values())

    def _run(self, number: int) -> None:
        connection: http.client.HTTPConnection | None = None
        while not self._stop.is_set():
            if connection is None:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
                with self._lock:
                    self.connections += 1
            try:
                digest, keep = infer_on(connection)
            except (OSError, http.client.HTTPException, AssertionError) as error:
                with self._lock:
                    self.failures.append(f"client {number}: {type(error).__name__}: {error}")
                connection.close()
                connection = None
                continue
            with self._lock:
                self.answers[digest] = self.answers.get(digest, 0) + 1
            if not keep:
                connection.close()
                connection = None
            time.sleep(0.002 * (number % 3))
        if connection is not None:
            connection.close()


def infer_on(connection: http.client.HTTPConnection, x: tuple[float, float] = (1.0, 2.0)) -> tuple[str, bool]:
    """One prediction; the digest that answered, and whether the connection stays open."""
    tensor = {"name": "X", "datatype": "FP32", "shape": [1, 2], "data": list(x)}
    body = json.dumps({"inputs": [tensor]})
    connection.request("POST", "/v2/models/tiny/infer", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    data = answer.read()
    assert answer.status == 200, data
    return str(answer.headers["Mlship-Bundle"]), not answer.will_close


def infer(port: int, x: tuple[float, float] = (1.0, 2.0)) -> tuple[str, float]:
    """One prediction over a fresh connection: the digest that answered, and y."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    tensor = {"name": "X", "datatype": "FP32", "shape": [1, 2], "data": list(x)}
    try:
        connection.request("POST", "/v2/models/tiny/infer", json.dumps({"inputs": [tensor]}))
        answer = connection.getresponse()
        document = json.loads(answer.read())
        assert answer.status == 200, document
        return str(answer.headers["Mlship-Bundle"]), float(document["outputs"][0]["data"][0])
    finally:
        connection.close()


def alive(pid: int) -> bool:
    """A process that is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
