"""An emulated z/OS for the tests of batch."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "samples"))

from zos import Zos, emulated


@pytest.fixture
def zos() -> Iterator[Zos]:
    """In memory where that is to be had: no test here pulls a plug."""
    place = Path("/dev/shm")
    memory = tempfile.TemporaryDirectory(dir=place if place.is_dir() else None)
    with memory as folder, emulated(Path(folder, "zos")) as running:
        yield running


@pytest.fixture
def cobol(require: Callable[[str], None]) -> None:
    require("cobc")
