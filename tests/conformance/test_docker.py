"""`docker` passes the kit that every adapter must pass, on a real engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from docker_engines import made_for
from sampling import some_steps

from mlship.target.conformance import AdapterConformance
from mlship.target.protocol import Adapter


@pytest.mark.server
@pytest.mark.faults
@pytest.mark.timeout(1800)
class TestDocker(AdapterConformance):
    @pytest.fixture
    def steps(self, some: Any) -> Sequence[int]:
        return some_steps(some, 20)

    @pytest.fixture
    def make_adapter(
        self, debian: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, debian_layout: Path
    ) -> Iterator[Callable[[], Adapter]]:
        monkeypatch.setenv("MLSHIP_HOME", str(tmp_path / "home"))
        yield from made_for(debian.engine, debian_layout, tmp_path)
        for what in ("container ls -a", "volume ls", "image ls"):
            assert "mlship-kit" not in debian.engine.docker(*what.split())
