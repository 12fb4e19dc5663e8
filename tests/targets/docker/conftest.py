"""A service on the tests' engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from docker_engines import made_for

from mlship.target.conformance import Bundles, open_ledger
from mlship.target.rollout import Rollout


@pytest.fixture(scope="session")
def bundles(kit: tuple[str, Bundles]) -> Bundles:
    return kit[1]


@pytest.fixture
def make_adapter(
    debian: Any, debian_layout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Any]]:
    """`make_adapter(bake=3.0)`: the adapter of the service `conform`, which is destroyed afterwards."""
    monkeypatch.setenv("MLSHIP_HOME", str(tmp_path / "home"))
    for make in made_for(debian.engine, debian_layout, tmp_path):
        yield make
        adapter = make()
        Rollout(adapter, open_ledger(adapter), None, why="destroy").run()
        assert "mlship-kit" not in debian.engine.docker("container", "ls", "-a")
