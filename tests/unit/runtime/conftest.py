"""A whole bundle, unpacked, around a tiny ONNX graph (`make_tree`), servers on real
sockets (`start`), and applications to ask (`matrix`, `table`)."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import uvloop
from onnx import TensorProto, helper

from mlship_runtime.bundle import canonical
from mlship_runtime.bundle.manifest import digest_of
from mlship_runtime.bundle.spec import TensorSpec, read_spec
from mlship_runtime.bundle.tree import BundleTree
from mlship_runtime.model.pipeline import Pipeline
from mlship_runtime.serving.answer import Answer, error_answer
from mlship_runtime.serving.application import Application
from mlship_runtime.serving.limits import Limits
from mlship_runtime.serving.server import Server

_fresh = itertools.count()


def linear_model(width: int = 2) -> bytes:
    """X [N, width] float -> sum [N, 1] float, label [N, 1] int64 (whether the sum is positive)."""
    weights = helper.make_tensor("W", TensorProto.FLOAT, [width, 1], np.ones(width, np.float32))
    zero = helper.make_tensor("Z", TensorProto.FLOAT, [1], [0.0])
    nodes = [
        helper.make_node("MatMul", ["X", "W"], ["sum"]),
        helper.make_node("Greater", ["sum", "Z"], ["positive"]),
        helper.make_node("Cast", ["positive"], ["label"], to=TensorProto.INT64),
    ]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, width])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, [None, 1]),
            helper.make_tensor_value_info("sum", TensorProto.FLOAT, [None, 1]),
        ],
        [weights, zero],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def tensor(
    name: str, datatype: str = "FP64", shape: tuple[int, ...] = (-1,), nullable: bool = False
) -> TensorSpec:
    return TensorSpec(name, datatype, shape, nullable)


OUTPUTS = (tensor("label", "INT64", (-1, 1)), tensor("sum", "FP32", (-1, 1)))


@pytest.fixture
def make_tree(tmp_path: Path) -> Callable[..., BundleTree]:
    """make_tree(inputs=…, assemble=…, model=…, reduction="def reduce…", reduced=…) -> BundleTree.

    A reduction in bytes is an ONNX graph, fed with `columns`.
    """

    def make(
        inputs: tuple[TensorSpec, ...] = (tensor("X", "FP32", (-1, 2)),),
        outputs: tuple[TensorSpec, ...] = OUTPUTS,
        assemble: dict[str, list[str]] | None = None,
        model: bytes | None = None,
        reduction: str | bytes | None = None,
        fused: bool = True,
        columns: dict[str, list[str]] | None = None,
        reduced: tuple[TensorSpec, ...] = (),
        name: str = "tiny",
    ) -> BundleTree:
        root = tmp_path / f"tree{next(_fresh)}"
        module = f"step_{hashlib.sha256(str(root).encode()).hexdigest()[:12]}"
        files = {"model": {"model/model.onnx": model if model is not None else linear_model()}}
        step: dict[str, Any] | None = None
        if isinstance(reduction, bytes):
            files["reduction"] = {"reduction/reduction.onnx": reduction}
            step = {
                "kind": "onnx",
                "path": "reduction/reduction.onnx",
                "assemble": columns or {},
                "fused": fused,
            }
        elif reduction is not None:
            step = {"kind": "python", "module": module, "function": "reduce"}
            files["reduction"] = {f"reduction/{module}.py": reduction.encode()}
        files["runtime"] = {"runtime/any/mlship_runtime/empty.py": b""}
        files["golden"] = {"golden/golden.json": b"{}"}
        for layer in files.values():
            for path, data in layer.items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_bytes(data)
        digests = {role: digest_of(f"{root} {role}".encode()) for role in files}
        document = {
            "schemaVersion": 1,
            "name": name,
            "version": "1.0",
            "labels": {},
            "engine": "onnx",
            "model": {"path": "model/model.onnx", "framework": "onnx", "converter": {}, "opset": 17},
            "reduction": step,
            "assemble": assemble or {},
            "schema": {"inputs": _rows(inputs), "reduced": _rows(reduced), "outputs": _rows(outputs)},
            "golden": {"path": "golden/golden.json", "rows": 0, "tolerance": {}},
            "parity": {"rows": 0},
            "runtime": {"python": "3.11", "platforms": {}, "limits": {}},
            "files": {digests[role]: _index(layer) for role, layer in files.items()},
        }
        spec = read_spec(canonical.encode(document))
        manifest = canonical.encode(_manifest(document, digests))
        return BundleTree(manifest, spec, {digest: str(root) for digest in digests.values()})

    return make


def _rows(specs: tuple[TensorSpec, ...]) -> list[dict[str, Any]]:
    rows = []
    for spec in specs:
        row = {**vars(spec), "shape": list(spec.shape), "classes": list(spec.classes)}
        rows.append({key: value for key, value in row.items() if key not in ("classes", "seen") or value})
    return rows


def _index(layer: dict[str, bytes]) -> list[list[Any]]:
    return [[path, len(data), hashlib.sha256(data).hexdigest()] for path, data in sorted(layer.items())]


def _manifest(document: dict[str, Any], digests: dict[str, str]) -> dict[str, Any]:
    from mlship_runtime.bundle.manifest import ARTIFACT_TYPE, CONFIG_TYPE, LAYER_TYPES, MANIFEST_TYPE

    layers = []
    for role, digest in [*digests.items(), ("spec", digest_of(canonical.encode(document)))]:
        notes = {
            "org.opencontainers.image.title": "mlship.json" if role == "spec" else f"{role}.tar",
            "org.cncf.model.filepath": {"runtime": "runtime/any", "spec": "mlship.json"}.get(role, role),
            "vnd.mlship.role": role,
        }
        if role == "runtime":
            notes["vnd.mlship.platform"] = "any"
        layers.append({"mediaType": LAYER_TYPES[role], "digest": digest, "size": 1, "annotations": notes})
    return {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": ARTIFACT_TYPE,
        "config": {"mediaType": CONFIG_TYPE, "digest": digest_of(b"config"), "size": 6},
        "layers": layers,
        "annotations": {
            "org.opencontainers.image.title": document["name"],
            "org.opencontainers.image.version": document["version"],
        },
    }


class EchoApplication:
    """Answers every request with what it was."""

    headers = b"Mlship-Bundle: sha256:0\r\n"

    def __init__(self) -> None:
        self.connections = self.waiting = 0

    def answer(self, method: bytes, target: bytes, headers: dict[bytes, bytes], body: bytes) -> Answer:
        return Answer(200, b"%b %b %b" % (method, target, body), b"text/plain")

    def refuse(self, status: int, message: str) -> Answer:
        return error_answer(status, message)


class RunningServer:
    """A Server on a loop of its own, in a thread; `call(coroutine function)` runs on it."""

    def __init__(
        self, application: Any, limits: Limits | None, loop: asyncio.AbstractEventLoop, log: Any = None
    ) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        self._loop = loop
        self._thread = threading.Thread(target=loop.run_forever, daemon=True)
        self._thread.start()
        self.server = self.call(self._start, application, limits, log)

    async def _start(self, application: Any, limits: Limits | None, log: Any) -> Server:
        server = Server(application, limits, log)
        server.accept_on(self.listener)
        return server

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(function(*arguments), self._loop).result(30)

    def connect(self) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return client

    def stop(self) -> None:
        self.call(self.server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        self.listener.close()


@pytest.fixture(params=["uvloop", "asyncio"])
def start(request: pytest.FixtureRequest) -> Iterator[Callable[..., RunningServer]]:
    """start(application=echo, limits=None, log=None) -> RunningServer, on both kinds of loop."""
    running: list[RunningServer] = []

    def make(application: Any = None, limits: Limits | None = None, log: Any = None) -> RunningServer:
        loop = uvloop.new_event_loop() if request.param == "uvloop" else asyncio.new_event_loop()
        running.append(RunningServer(application or EchoApplication(), limits, loop, log))
        return running[-1]

    yield make
    for each in running:
        each.stop()


class Served:
    """A bundle served by another process at `url`; `ended` is its exit code, None while it lives."""

    def __init__(self, tree: BundleTree) -> None:
        command = [sys.executable, str(Path(__file__).with_name("served_tree.py"))]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        spec = canonical.encode(tree.spec.document).decode()
        given = {"manifest": tree.manifest_bytes.decode(), "spec": spec, "roots": tree.roots}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(given).encode() + b"\n")
        self._process.stdin.flush()
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"

    @property
    def ended(self) -> int | None:
        return self._process.poll()

    def stop(self) -> None:
        self._process.communicate(timeout=20)


@pytest.fixture
def served() -> Iterator[Callable[[BundleTree], Served]]:
    """served(tree) -> Served"""
    with ExitStack() as stack:

        def serve(tree: BundleTree) -> Served:
            found = Served(tree)
            stack.callback(found.stop)
            return found

        yield serve


class Asked:
    """An application, asked without a socket: (status, document) of each answer."""

    def __init__(self, application: Application) -> None:
        self.application = application

    def get(self, path: str) -> tuple[int, Any]:
        return self._said(self.application.answer(b"GET", path.encode(), {}, b""))

    def post(self, path: str, document: Any, content_type: bytes = b"application/json") -> tuple[int, Any]:
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        return self._said(
            self.application.answer(b"POST", path.encode(), {b"content-type": content_type}, body)
        )

    def infer(self, *tensors: Any, **more: Any) -> tuple[int, Any]:
        return self.post("/v2/models/tiny/infer", {"inputs": list(tensors), **more})

    def predictions(self, document: Any, content_type: bytes = b"application/json") -> Any:
        status, answer = self.post("/invocations", document, content_type)
        assert status == 200, answer
        return answer["predictions"]

    def _said(self, answer: Answer) -> tuple[int, Any]:
        return answer.status, json.loads(answer.body)


REDUCE = """
import numpy as np

def reduce(columns):
    if (columns["age"] == 13).any():
        raise LookupError("a secret of the reduction")
    if (columns["age"] == 14).any():
        return {"X": np.zeros((1, 9))}
    known = np.array([name == "known" for name in columns["word"]], float)
    return {"X": np.stack([columns["age"] + np.nan_to_num(columns["height"]), known * 100], 1)}
"""


@pytest.fixture
def matrix(make_tree: Callable[..., BundleTree]) -> Asked:
    """Release 3: one input X FP32 [-1, 2]; outputs label and sum."""
    return Asked(Application(Pipeline(make_tree()), release=3))


@pytest.fixture
def table(make_tree: Callable[..., BundleTree]) -> Asked:
    """Columns age INT64, height FP64 nullable, word BYTES nullable; a reduction to X; label and sum."""
    columns = (
        tensor("age", "INT64"),
        tensor("height", "FP64", nullable=True),
        tensor("word", "BYTES", nullable=True),
    )
    tree = make_tree(inputs=columns, reduction=REDUCE, reduced=(tensor("X", "FP64", (-1, 2)),))
    return Asked(Application(Pipeline(tree)))
