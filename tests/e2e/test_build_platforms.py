"""A bundle for platforms that this machine is not, and from an index that is nobody else's business."""

from __future__ import annotations

import base64
import http.server
import os
import shlex
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import joblib
import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from mlship.bundle.build import build_bundle
from mlship.bundle.open import verify_bundle
from mlship.bundle.packages.platforms import this_machine
from mlship.bundle.packages.resolve import requirements_of, resolve
from mlship.bundle.packages.wheels import fetch, wheel_path
from mlship.config import load_project
from mlship.errors import BuildError
from mlship.progress import SILENT
from mlship.registry import open_registry
from mlship.target.conformance import deploy, open_ledger, serves
from mlship.target.loader import load_adapter
from mlship.target.protocol import Place
from mlship.target.rollout import Rollout
from mlship_runtime.platforms import this_platform

pytestmark = [pytest.mark.e2e, pytest.mark.builds, pytest.mark.timeout(300)]
TOML = """
[model]
source = "model.joblib"
[golden]
from = "rows.npy"
rows = 8
"""
OTHER = {"amd64": "arm64", "arm64": "amd64"}[this_platform().processor]
BOTH = '[runtime]\nplatforms = ["linux/amd64", "linux/arm64"]\n'
VARIABLE = f"MLSHIP_PYTHON_LINUX_{OTHER}".upper()


class Said:
    """A progress that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def phase(self, *_: object, **__: object) -> None: ...

    def advance(self, *_: object) -> None: ...


@pytest.fixture
def iris(project) -> Callable[[str], Path]:
    """`iris(toml)`: a project with a small model."""

    def make(toml: str) -> Path:
        root: Path = project(TOML + toml)
        data = load_iris()
        joblib.dump(LogisticRegression(max_iter=500).fit(data.data, data.target), root / "model.joblib")
        np.save(root / "rows.npy", data.data)
        return root

    return make


def build(root: Path, said: Said) -> Any:
    return build_bundle(load_project(root), open_registry(f"dir://{root}/.mlship/store"), progress=said)


def test_both_processors_from_one_machine(iris, opened) -> None:
    root, said = iris(BOTH), Said()
    built = build(root, said)
    one, two = built.manifest.platforms
    assert "-amd64-" in one
    assert "-arm64-" in two
    versions = [
        {(wheel["name"], wheel["version"]) for wheel in built.spec.runtime["platforms"][name]["requirements"]}
        for name in (one, two)
    ]
    assert versions[0] == versions[1]
    indexes = [
        [built.spec.files.get(layer.digest, ()) for layer in built.manifest.layers_for(name)]
        for name in (one, two)
    ]
    files = [{entry.path for entries in index for entry in entries} for index in indexes]
    assert any(path.endswith("x86_64-linux-gnu.so") for path in files[0])
    assert any(path.endswith("aarch64-linux-gnu.so") for path in files[1])
    assert not any("x86_64" in path for path in files[1])
    verify_bundle(opened(root, built))
    other = one if OTHER == "amd64" else two
    assert f"{other} was not tried: {VARIABLE} can name a command that runs its Python here" in said.lines


def test_a_python_of_another_platform_than_it_is_named_for(iris, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, sys.executable)
    with pytest.raises(BuildError, match=f"runtime does not run here: it is for linux on {OTHER}"):
        build(iris(BOTH), Said())


def test_an_emulator_that_is_not_there(iris, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "/nowhere/qemu -L x python3")
    with pytest.raises(BuildError, match="/nowhere/qemu cannot be run") as caught:
        build(iris(BOTH), Said())
    assert "MLSHIP_PYTHON_" in caught.value.fix


@pytest.mark.skipif(OTHER != "arm64", reason="this machine is one")
@pytest.mark.slow
def test_arm64_gives_the_golden_answers_under_an_emulator(
    iris, require, monkeypatch: pytest.MonkeyPatch
) -> None:
    require("arm64")
    monkeypatch.setenv(VARIABLE, os.environ["MLSHIP_TEST_PYTHON_ARM64"])
    said = Said()
    build(iris(BOTH), said)
    assert [line for line in said.lines if "-arm64-" in line and "gives the golden answers" in line]


@pytest.mark.skipif(OTHER != "arm64", reason="this machine is one")
@pytest.mark.slow
@pytest.mark.server
@pytest.mark.timeout(3600)
def test_an_arm64_machine_behind_ssh(iris, opened, require, sshd, tmp_path: Path) -> None:
    """All of its Python runs under an emulator: what is not built for it is refused, what is, answers."""
    require("arm64")
    python, base = tmp_path / "python3", tmp_path / "base"
    program, *words = shlex.split(os.environ["MLSHIP_TEST_PYTHON_ARM64"])
    python.write_text(f'#!/bin/sh\nexec {program} -0 "$0" {shlex.join(words)} "$@"\n')
    python.chmod(0o755)
    sshd.known_in(tmp_path / "known_hosts")
    settings = {
        "hosts": [str(sshd.address)], "key": str(sshd.key), "base": str(base), "python": str(python),
        "workers": 1, "ready_timeout": 900.0, "units": "none",
    }  # fmt: skip
    place = Place("arm", "trial", settings=settings, data=tmp_path, project=tmp_path)
    place = Place(**{**vars(place), "ledger": f"dir://{tmp_path}/ledger"})

    def on_it() -> Any:
        return load_adapter("ssh", place)

    root = iris("")
    (problem,) = on_it().check(opened(root, build(root, Said())))
    assert "built for linux-amd64" in problem.what
    assert "linux-arm64" in problem.what
    assert not base.exists()
    bundle = opened(iris(BOTH), build(iris(BOTH), Said()))
    adapter = on_it()
    assert [problem for problem in adapter.check(bundle) if problem.blocks] == []
    wanted = adapter.wanted(bundle)
    assert ("linux-arm64" in wanted.platform, wanted.settings["python"]) == (True, str(python))
    rolled = deploy(adapter, open_ledger(adapter), bundle)
    assert rolled.release is not None
    assert rolled.release.platform == wanted.platform
    assert serves(on_it()) == bundle.digest
    Rollout(on_it(), open_ledger(adapter), None, why="destroy", purge=True).run()
    assert not base.exists()


class Index(http.server.BaseHTTPRequestHandler):
    """A package index that asks for a password; `files` maps a wheel's file name to where it lies."""

    files: dict[str, Path]

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        expected = "Basic " + base64.b64encode(b"me:hunter2").decode()
        if self.headers["Authorization"] != expected:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="x"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        *_, kind, name = unquote(self.path).strip("/").split("/")
        if kind == "files":
            data = self.files[name].read_bytes()
        else:
            mine = [file for file in self.files if file.partition("-")[0].replace("_", "-").lower() == name]
            data = "".join(f'<a href="/files/{f}#sha256={self.files[f].name}">{f}</a>' for f in mine).encode()
        self.send_response(200 if data else 404)
        self.send_header("Content-Type", "application/octet-stream" if kind == "files" else "text/html")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate authority of our own (ca.pem) and a server's certificate for 127.0.0.1."""
    folder = tmp_path_factory.mktemp("own-authority")
    (folder / "ext").write_text("subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    signing = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "ext"]
    for words in (
        ["req", "-x509", *key, "-subj", "/CN=Own", "-keyout", "ca.key", "-out", "ca.pem"],
        ["req", "-new", *key[:-2], "-subj", "/CN=index", "-keyout", "server.key", "-out", "server.csr"],
        ["x509", "-req", "-in", "server.csr", *signing, "-out", "server.pem"],
    ):
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture
def index(authority: Path) -> Iterator[str]:
    """The address of a private index over TLS that has the runtime's wheels for this machine."""
    platform = this_machine("{}.{}".format(*sys.version_info[:2]))
    found = resolve(requirements_of([]), platform, {})
    fetch(found.wheels, found.urls, platform.python, SILENT)
    handler = type("Own", (Index,), {"files": {wheel.file: wheel_path(wheel) for wheel in found.wheels}})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority / "server.pem", authority / "server.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_private_index_and_its_authority_are_used_and_not_told(
    iris, opened, index: str, authority: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    root = iris("")
    with monkeypatch.context() as own:
        own.setenv("MLSHIP_CACHE", str(tmp_path / "cache"))
        own.setenv("UV_DEFAULT_INDEX", f"https://me:hunter2@{index}/simple")
        with pytest.raises(BuildError) as refused:
            build(root, Said())
        assert "hunter2" not in str(refused.value)
        own.setenv("SSL_CERT_FILE", str(authority / "ca.pem"))
        own.delenv("SSL_CERT_DIR", raising=False)
        built = build(root, Said())
        assert len(list((tmp_path / "cache" / "wheels").iterdir())) > 5  # all of them came from there
    told = [index.encode(), b"hunter2", str(authority).encode(), b"own-authority"]
    bundle = opened(root, built)
    for blob in bundle.manifest.blobs:
        content = b"".join(bundle.blob(blob.digest))
        assert not [text for text in told if text in content], blob.title
    for text in told:
        assert text not in (root / "mlship.lock").read_bytes()
        assert text not in bundle.manifest_bytes
