"""The kit's bundles, built once per run with the machine's shared cache."""

from __future__ import annotations

import pytest

from mlship.target.conformance import Bundles


@pytest.fixture(scope="session")
def bundles(kit: tuple[str, Bundles]) -> Bundles:
    return kit[1]
