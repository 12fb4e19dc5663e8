"""Projects that are really built: files and a mlship.toml in a folder of the test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlship.bundle.build import Built, build_bundle
from mlship.bundle.open import OpenBundle, open_bundle
from mlship.config import load_project
from mlship.registry import open_registry

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
