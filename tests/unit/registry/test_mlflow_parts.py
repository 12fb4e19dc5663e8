"""The MLflow registry without a server: addresses, credentials, names, and what is written for MLflow."""

from __future__ import annotations

import ast
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from mlflow_servers import HURRIED, at
from sample_bundle import make_bundle

from mlship.bundle.models import plain_yaml
from mlship.bundle.open import OpenBundle, open_bundle
from mlship.errors import MlshipError, RegistryError, UsageError
from mlship.reference import parse_reference
from mlship.registry import open_registry
from mlship.registry.mlflow import served
from mlship.registry.mlflow.address import parse_address
from mlship.registry.mlflow.artifacts import Folder
from mlship.registry.mlflow.catalogue import is_alias
from mlship.registry.mlflow.client import Client
from mlship_runtime.bundle.spec import TensorSpec

CANARY = "canary-of-a-token-0123"


@pytest.mark.parametrize(
    ("url", "root", "model"),
    [
        ("mlflow://127.0.0.1:5000", "http://127.0.0.1:5000", ""),
        ("mlflow://localhost:5000/Churn_model.v2", "http://localhost:5000", "Churn_model.v2"),
        ("mlflow://[::1]:5000/", "http://[::1]:5000", ""),
        ("mlflow://ML.example.com/churn", "https://ml.example.com", "churn"),
        ("mlflow+http://ml.example.com:80", "http://ml.example.com:80", ""),
        ("mlflow+https://localhost/churn", "https://localhost", "churn"),
    ],
)
def test_an_address(url: str, root: str, model: str) -> None:
    address = parse_address(url)
    assert (address.root, address.model) == (root, model)
    assert open_registry(url).url == address.url


@pytest.mark.parametrize(
    "url",
    [
        "mlflow://host/a/b", "mlflow://host/a b", "mlflow://host/..", "mlflow://host/.hidden", "mlflow://host:99999",
        "mlflow:///model", "mlflow://host?x=1", "mlflow://host/a%2fb", "mlflow://host/a'b",
    ],
)  # fmt: skip
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(UsageError, match="is not the URL of an MLflow server"):
        open_registry(url)


def test_a_password_in_the_url_is_not_shown() -> None:
    with pytest.raises(UsageError) as caught:
        open_registry(f"mlflow://ann:{CANARY}@host/churn")
    assert CANARY not in str(caught.value)
    assert "MLFLOW_TRACKING_USERNAME" in str(caught.value)


def test_which_tags_are_aliases() -> None:
    assert [tag for tag in ("prod", "a-b_C", "20261121", "v3a", "V", "_x") if not is_alias(tag)] == []
    assert [tag for tag in ("latest", "LATEST", "v3", "V12", "1.4", "a.b") if is_alias(tag)] == []


class Door(BaseHTTPRequestHandler):
    """Lets in who has the token, and has no models."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing."""

    def do_GET(self) -> None:
        let_in = self.headers.get("Authorization") == f"Bearer {CANARY}"
        body = b"{}" if let_in else b"You are not authenticated"
        self.send_response(200 if let_in else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def door() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join(5)


def refused(host: str) -> str:
    with pytest.raises(RegistryError) as caught:
        at(f"mlflow://{host}").names()
    assert CANARY not in str(caught.value)
    return str(caught.value)


def test_who_is_let_in(door: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said = refused(door)
    assert said.startswith(
        f"mlflow://{door} does not let us in: it asks for credentials. Run: export MLFLOW_"
    )
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", f"not-{CANARY}")
    assert "the credentials in MLFLOW_TRACKING_… do not hold" in refused(door)
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", CANARY)
    assert at(f"mlflow://{door}").names() == []
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{door}/")
    assert at(f"mlflow://{door}").names() == []
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://another.example.com")
    assert "are for the server in MLFLOW_TRACKING_URI. Run: unset MLFLOW_TRACKING_URI;" in refused(door)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", CANARY)  # go first, as in MLflow
    assert "do not hold" in refused(door)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "two\nlines")
    assert "MLFLOW_TRACKING_TOKEN is not a token" in refused(door)


@pytest.mark.parametrize(
    "uri",
    [
        "s3://bucket/models", "mlflow-artifacts://other:5000/1/models", "mlflow-artifacts:/1/../2", "/tmp",
        "mlflow-artifacts:/", "mlflow-artifacts:/1//2", "",
    ],
)  # fmt: skip
def test_artifacts_that_lie_elsewhere(uri: str) -> None:
    with pytest.raises(MlshipError, match="do not lie behind it"):
        Folder(Client(parse_address("mlflow://localhost:1"), HURRIED), uri)


@pytest.fixture
def bundle(tmp_path: Path) -> OpenBundle:
    registry = open_registry(f"dir://{tmp_path}/registry")
    return open_bundle(registry, parse_reference(f"churn@{make_bundle(registry)}"))


def test_what_is_written_for_mlflow_follows_from_the_bundle(bundle: OpenBundle) -> None:
    files = dict(served.files(bundle.manifest_bytes, bundle.spec))
    assert files == dict(served.files(bundle.manifest_bytes, bundle.spec))
    assert list(files)[-1] == "MLmodel", "what makes it a model comes last"
    model = plain_yaml.read(files["MLmodel"].decode())
    assert model["flavors"]["python_function"]["loader_module"] == "mlship_bundle"
    assert model["metadata"]["mlship.digest"] == bundle.digest
    assert json.loads(model["signature"]["inputs"]) == [{"type": "double", "name": "age", "required": False}]
    assert files[f"blobs/sha256/{bundle.digest[7:]}"] == bundle.manifest_bytes
    with zipfile.ZipFile(io.BytesIO(files["code/mlship_runtime.zip"])) as floor:
        assert "mlship_runtime/bundle/extract.py" in floor.namelist()
        assert {entry.date_time for entry in floor.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_the_loader_needs_nothing_that_is_not_there() -> None:
    """It runs where MLflow is, and in a Python that sees its standard library alone: nothing of mlship."""
    tree = ast.parse(Path(served.__file__).with_name("loader.py").read_text())
    names = [name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names]
    names += [str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert not [name for name in names if name.split(".")[0] in ("mlship", "mlflow", "numpy", "pandas")]


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        ([("a", "INT64", [-1], False)], [{"type": "long", "name": "a", "required": True}]),
        ([("a", "INT64", [-1], True)], [{"type": "double", "name": "a", "required": False}]),
        ([("a", "BYTES", [-1], True)], [{"type": "string", "name": "a", "required": False}]),
        (
            [("X", "FP32", [-1, 4], False)],
            [{"name": "X", "type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 4]}}],
        ),
        (
            [("a", "BOOL", [-1], False), ("X", "FP64", [-1, 4], False)],
            [
                {"type": "boolean", "name": "a", "required": True},
                {"type": "array", "items": {"type": "double"}, "name": "X", "required": True},
            ],
        ),
    ],
)
def test_the_signature(shapes: list[Any], said: list[Any]) -> None:
    tensors = [TensorSpec(name, kind, tuple(shape), nullable) for name, kind, shape, nullable in shapes]
    assert served.signature(tensors) == said
