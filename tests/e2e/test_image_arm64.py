"""An image for arm64, put together on another processor, is run: unpacked, and started as its config says."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from base_images import CONFIG, LAYER, MANIFEST, BaseLayout
from listening import free_port
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from mlship.bundle.open import OpenBundle
from mlship.image.forms import OCI
from mlship.image.make import make_image
from mlship.image.opened import OpenImage, open_images
from mlship.image.places import parse_folder, parse_image
from mlship.image.sending import send
from mlship.target.golden import golden_of
from mlship_runtime.golden import compare
from mlship_runtime.platforms import this_platform

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(this_platform().processor == "arm64", reason="this machine is one"),
]
TOML = """
[model]
source = "model.joblib"
[golden]
from = "rows.npy"
rows = 8
[runtime]
platforms = ["linux/amd64", "linux/arm64"]
"""
_EMULATOR = "/emulator"
# Stands where the interpreter is, for kernels that have not been told which files the emulator runs.
_STAND_IN = """\
#!{emulator} {python}-itself
import os, sys
os.execv("{emulator}", ["{emulator}", "-0", "{python}", "{python}-itself", *sys.argv[1:]])
"""
_END = 300.0  # seconds


@pytest.fixture
def bundle(project: Any, build: Any, opened: Any) -> OpenBundle:
    root: Path = project(TOML)
    data = load_iris()
    joblib.dump(LogisticRegression(max_iter=500).fit(data.data, data.target), root / "model.joblib")
    np.save(root / "rows.npy", data.data)
    found: OpenBundle = opened(root, build(root))
    return found


def base_of(root: Path, folder: Path) -> BaseLayout:
    """The root file system of the emulated Python as a base."""
    layout, tar = BaseLayout(folder), folder / "root.tar"
    left_out = [f"--exclude=./{name}/*" for name in ("proc", "sys", "dev", "tmp")]
    subprocess.run(["tar", "-c", "-f", str(tar), *left_out, "-C", str(root), "."], check=True)
    data = tar.read_bytes()
    tar.unlink()
    layer = layout.blob(data, LAYER)
    config = {
        "architecture": "arm64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
    }
    said = layout.blob(json.dumps(config).encode(), CONFIG)
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": said, "layers": [layer]}
    layout.name(layout.blob(json.dumps(manifest).encode(), MANIFEST))
    return layout


def unpack(image: OpenImage, folder: Path) -> None:
    """As an engine does: layer upon layer; these have nothing that hides another."""
    folder.mkdir()
    for blob in image.manifest.layers:
        data = b"".join(image.place.blob(blob.digest, blob.size))
        subprocess.run(["tar", "-x", "-p", "-C", str(folder)], input=data, check=True)


def stand_in(root: Path, python: str) -> None:
    file = root / python[1:]
    file.rename(f"{file}-itself")
    file.write_text(_STAND_IN.format(emulator=_EMULATOR, python=python))
    file.chmod(0o755)


@contextmanager
def running(image: OpenImage, root: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    settings = image.settings
    user, group = settings["User"].split(":")
    words = ["chroot", f"--userspec={user}:{group}", str(root), *settings["Entrypoint"]]
    environment = dict(line.split("=", 1) for line in settings["Env"])
    environment |= {"MLSHIP_HOST": "127.0.0.1", "MLSHIP_PORT": str(port)}
    with (
        (root.parent / "log").open("wb") as log,
        subprocess.Popen([*words, *settings["Cmd"]], env=environment, stdout=log, stderr=log) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def test_it_gives_the_golden_answers(
    bundle: OpenBundle, require: Any, own_cache: Path, tmp_path: Path
) -> None:
    require("arm64")
    if os.geteuid() != 0:
        pytest.skip("chroot needs root")
    emulator, *words = shlex.split(os.environ["MLSHIP_TEST_PYTHON_ARM64"])
    layout = base_of(Path(words[words.index("-L") + 1]), tmp_path / "base")
    made = make_image(bundle, parse_image(str(layout.folder)), OCI, ["linux/arm64"])
    to = parse_folder(f"{tmp_path}/image", "1")
    send(made.parts, to.open_to_write(), to.tag)
    _, (image,) = open_images(parse_image(str(to)))
    root, port = tmp_path / "root", free_port()
    unpack(image, root)
    shutil.copy(shutil.which(emulator) or emulator, root / _EMULATOR[1:])
    stand_in(root, image.settings["Entrypoint"][0])
    golden = golden_of(bundle)
    with running(image, root, port) as process:
        wait_until_ready(port, process, tmp_path / "log")
        answer = ask(port, f"/v2/models/{bundle.spec.name}/infer", {"inputs": golden["inputs"]})
        assert compare(golden["outputs"], answer["outputs"], golden["tolerance"]).equal
        process.send_signal(signal.SIGTERM)
        assert process.wait(_END) == 0


def wait_until_ready(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _END
    while True:
        try:
            ask(port, "/ping")
            return
        except OSError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.5)


def ask(port: int, path: str, body: Any = None) -> Any:
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", data, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.loads(answer.read())
