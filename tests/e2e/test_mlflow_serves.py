"""What was pushed to an MLflow server is served by `mlflow models serve`, and answers the golden examples."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mlflow_servers import MlflowServer, at, environment, mlflow_python

from mlship.bundle.exchange.layout import blob_path
from mlship.registry.mlflow import served
from mlship.registry.transfer import copy
from mlship_runtime.golden import compare

pytestmark = [pytest.mark.e2e, pytest.mark.builds, pytest.mark.server, pytest.mark.timeout(600)]

TOML = """
[model]
source = "train:make"
[reduction]
step = "step:reduce"
[golden]
from = "rows.csv"
"""
TRAIN = """
import numpy as np
from sklearn.linear_model import LogisticRegression

def make():
    x = np.arange(60.0).reshape(20, 3)
    return LogisticRegression(max_iter=500).fit(x - x.mean(0), np.arange(20) // 7)
"""
STEP = """
import numpy as np

def reduce(columns):
    plan = np.array([len(str(value)) for value in columns["plan"]], float)
    age = np.nan_to_num(columns["age"], nan=40.0)
    print("reducing", len(age))
    return {"X": np.stack([age - 30.0, plan * columns["calls"], columns["calls"]], axis=1)}
"""
ROWS = "age,plan,calls\n" + "".join(
    f"{'' if n % 5 == 0 else n + 0.5},{'basic' if n % 2 else 'premium'},{n % 7}\n" for n in range(20)
)


@contextmanager
def serving(server: MlflowServer, uri: str, folder: Path) -> Iterator[str]:
    """The URL of `mlflow models serve` of `uri`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    python = mlflow_python()
    assert python
    command = [str(python), "-m", "mlflow", "models", "serve", "-m", uri, "--env-manager", "local"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    variables = {**environment(), "MLFLOW_TRACKING_URI": server.root, "PATH": path, "TMPDIR": str(folder)}
    log = folder / "log"
    with log.open("wb") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, env=variables, start_new_session=True)
    try:
        end = time.monotonic() + 240
        while not _answers(f"http://127.0.0.1:{port}/ping"):
            assert process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < end, log.read_text()[-3000:]
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10):
            return True
    except OSError:
        return False


def ask(url: str, content: dict[str, Any]) -> Any:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/invocations", json.dumps(content).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["predictions"]


def test_mlflow_serves_a_bundle(
    mlflow: MlflowServer,
    project: Any,
    build: Any,
    opened: Any,
    tmp_path: Path,
    running: Callable[[Path], dict[int, str]],
) -> None:
    root = project(TOML, train=TRAIN, step=STEP)
    (root / "rows.csv").write_text(ROWS)
    built = build(root)
    bundle = opened(root, built)
    registry = at(mlflow.counted())
    copy(bundle.registry, registry, "trial", built.digest, tag="prod")

    golden = bundle.golden()
    names = [tensor["name"] for tensor in golden["inputs"]]
    rows = [list(row) for row in zip(*(tensor["data"] for tensor in golden["inputs"]), strict=True)]
    assert any(None in row for row in rows), "a missing number is among them"
    split = {"dataframe_split": {"columns": names, "data": rows}}
    records = {"dataframe_records": [dict(zip(names, row, strict=True)) for row in rows]}
    home = tmp_path / "serving"
    home.mkdir()
    with serving(mlflow, f"models:/{registry.address.model}@prod", home) as url:
        for content in (split, records):
            answered = ask(url, content)
            outputs = [
                {**tensor, "data": _flat([row[tensor["name"]] for row in answered])}
                for tensor in golden["outputs"]
            ]
            compared = compare(golden["outputs"], outputs, bundle.spec.tolerance)
            assert compared.equal, compared.differences
        with pytest.raises(urllib.error.HTTPError) as refused:
            ask(url, {"dataframe_records": [{"age": 1.5, "calls": 2}]})
        with refused.value:
            assert refused.value.code == 400
        assert running(home), "the bundle's own server runs beside it"


@pytest.fixture
def unpacked(project: Any, build: Any, opened: Any, tmp_path: Path) -> Path:
    """The artifacts of a version, as MLflow gives them to a loader."""
    root = project(TOML, train=TRAIN, step=STEP)
    (root / "rows.csv").write_text(ROWS)
    bundle = opened(root, build(root))
    folder = tmp_path / "artifacts"
    for blob in bundle.manifest.blobs:
        path = folder / blob_path(blob.digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(bundle.blob(blob.digest)))
    for name, content in served.files(bundle.manifest_bytes, bundle.spec):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def loaded(folder: Path, then: str) -> subprocess.CompletedProcess[str]:
    """What a process says that loads the model as MLflow does, and then does something."""
    code = f"import os, mlship_bundle\nmodel = mlship_bundle._load_pyfunc({str(folder)!r})\n{then}"
    home = folder.parent / "home"
    home.mkdir(exist_ok=True)
    variables = {"PYTHONPATH": str(folder / "code"), "TMPDIR": str(home), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=200)


def test_the_loader_alone(unpacked: Path, running: Callable[[Path], dict[int, str]]) -> None:
    rows = {"age": [41.5, None], "plan": ["basic", "premium"], "calls": [3.0, 6]}
    done = loaded(unpacked, f"print(model.predict({rows!r}), flush=True)\nos.kill(os.getpid(), 9)")
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert "label" in done.stdout
    end = time.monotonic() + 60
    while running(unpacked):
        assert time.monotonic() < end, "its server outlives the process that started it"
        time.sleep(0.1)
    ended = loaded(unpacked, "model.predict({'age': [1.0], 'plan': ['a'], 'calls': ['many']})")
    assert ended.returncode == 1
    assert "calls" in ended.stderr.splitlines()[-1]
    assert not running(unpacked)


def test_the_loader_refuses(unpacked: Path) -> None:
    digest = json.loads((unpacked / "index.json").read_bytes())["manifests"][0]["digest"]
    manifest = json.loads((unpacked / blob_path(digest)).read_bytes())
    for blob in (manifest["layers"][0]["digest"], manifest["layers"][-1]["digest"], digest):
        path = unpacked / blob_path(blob)
        whole = path.read_bytes()
        for damaged in (bytes([whole[0] ^ 1]) + whole[1:], whole[:-1], None):
            path.write_bytes(damaged) if damaged is not None else path.unlink()
            ended = loaded(unpacked, "print('loaded')")
            assert ended.returncode == 1
            assert ended.stderr.splitlines()[-1].startswith("RuntimeError: "), ended.stderr
            assert "ended before" not in ended.stderr
            assert "loaded" not in ended.stdout
        path.write_bytes(whole)
    assert "loaded" in loaded(unpacked, "print('loaded')").stdout


def _flat(values: Any) -> list[Any]:
    return [one for value in values for one in _flat(value)] if isinstance(values, list) else [values]
