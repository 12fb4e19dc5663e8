"""Projects that are really built: files and a mlship.toml in a folder of the test."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlship.bundle.build import Built, build_bundle
from mlship.bundle.open import OpenBundle, open_bundle
from mlship.config import load_project
from mlship.registry import open_registry

FINDS = "PIP_FIND_LINKS"
Write = Callable[..., Path]


@pytest.fixture
def project(tmp_path: Path) -> Write:
    """`project(toml, step="code")`: a folder with mlship.toml ([project] is added) and modules."""

    def write(toml: str, *, name: str = "trial", folder: str = "project", **modules: str) -> Path:
        root = tmp_path / folder
        root.mkdir(exist_ok=True)
        (root / "mlship.toml").write_text(f'[project]\nname = "{name}"\nversion = "1.0"\n{toml}')
        for module, code in modules.items():
            (root / f"{module}.py").write_text(code)
        return root

    return write


@pytest.fixture
def build() -> Callable[..., Built]:
    """Build the project in a folder into its own store."""

    def run(root: Path, **options: Any) -> Built:
        loaded = load_project(root)
        return build_bundle(loaded, open_registry(f"dir://{loaded.state}/store"), **options)

    return run


@pytest.fixture
def opened() -> Callable[[Path, Built], OpenBundle]:
    """The bundle that was built in a folder, opened in that folder's store."""

    def run(root: Path, built: Built) -> OpenBundle:
        return open_bundle(open_registry(f"dir://{root}/.mlship/store"), built.reference)

    return run


@pytest.fixture(scope="session")
def torch_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with PyTorch for the CPU, from the folders in PIP_FIND_LINKS."""
    wheels = [Path(place) for place in os.environ.get(FINDS, "").split() if "://" not in place]
    if not any(found for place in wheels for found in place.glob("torch-*cpu*.whl")):
        pytest.skip(f"no wheel of PyTorch for the CPU: name a folder that has one in {FINDS}")
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
    home = tmp_path_factory.mktemp("torch") / "env"
    python = home / "bin" / "python"
    links = [word for place in wheels for word in ("--find-links", str(place))]
    rest = ["filelock", "typing-extensions", "sympy", "networkx", "jinja2", "fsspec", "numpy", "onnx"]
    for words in (
        ["venv", "--python", sys.executable, str(home)],
        ["pip", "install", "--python", str(python), "--no-index", "--no-deps", *links, "torch"],
        ["pip", "install", "--python", str(python), *rest],
    ):
        subprocess.run([uv, *words, "--quiet", "--no-config"], check=True)
    return python
