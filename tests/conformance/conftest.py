"""The kit's bundles, built once per session with the machine's shared cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlship.registry import open_registry
from mlship.target.conformance import Bundles
from mlship.target.conformance_bundles import build_bundles


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Bundles:
    folder: Path = tmp_path_factory.mktemp("conformance")
    return build_bundles(folder, open_registry(f"dir://{folder}/registry"))
