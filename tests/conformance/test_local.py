"""`local` passes the kit that every adapter must pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mlship.target.conformance import AdapterConformance
from mlship.target.loader import load_adapter
from mlship.target.protocol import Adapter, Place


class TestLocal(AdapterConformance):
    @pytest.fixture
    def make_adapter(self, tmp_path: Path) -> Callable[[], Adapter]:
        def make() -> Adapter:
            settings = {"ready_timeout": 30.0, "drain_timeout": 5.0}
            return load_adapter(
                "local", Place(name="here", service="conform", settings=settings, data=tmp_path)
            )

        return make
