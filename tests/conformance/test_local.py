"""`local` passes the kit that every adapter must pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlship.target.conformance import AdapterConformance
from mlship.target.loader import load_adapter
from mlship.target.protocol import Adapter, Place


class TestLocal(AdapterConformance):
    @pytest.fixture
    def own_home(self, warm: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv("MLSHIP_HOME", str(warm.open()))
        return Path(warm.path)

    @pytest.fixture(autouse=True)
    def _keep_runtime(self, warm: Any, _nothing_is_left: None) -> Iterator[None]:
        yield
        warm.keep()

    @pytest.fixture
    def make_adapter(self, own_home: Path) -> Callable[[], Adapter]:
        def make() -> Adapter:
            settings = {"ready_timeout": 30.0, "drain_timeout": 5.0}
            return load_adapter(
                "local", Place(name="local", service="conform", settings=settings, data=own_home)
            )

        return make
