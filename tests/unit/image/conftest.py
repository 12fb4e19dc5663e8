"""A bundle and a base that fit each other."""

from __future__ import annotations

from pathlib import Path

import pytest
from base_images import BaseLayout, make_base, make_image_bundle

from mlship.bundle.open import OpenBundle, open_bundle
from mlship.reference import Reference
from mlship.registry import open_registry


@pytest.fixture(autouse=True)
def cache(own_cache: Path) -> Path:
    """Nothing is remembered of bases that other tests have seen."""
    return own_cache


@pytest.fixture
def bundle(tmp_path: Path) -> OpenBundle:
    """`churn`, for linux/amd64 and macOS."""
    registry = open_registry(f"dir://{tmp_path}/registry")
    digest = make_image_bundle(registry, tmp_path / "layers")
    return open_bundle(registry, Reference("churn", digest=digest))


@pytest.fixture
def base(tmp_path: Path) -> BaseLayout:
    return make_base(tmp_path / "base")
