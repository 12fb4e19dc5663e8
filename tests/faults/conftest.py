"""What tests of faults share: `sample_bundle` and its neighbours, and where many small files are quick."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "samples"))


FOLDER = Path(__file__).parent
WHOLE_TABLE = 1800  # seconds, on a machine that has other things to do


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A table that runs in full gets the time for it, unless it says how much it needs."""
    for item in items:
        if FOLDER in item.path.parents and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(WHOLE_TABLE))


@pytest.fixture(scope="module")
def memory() -> Iterator[Path]:
    """A folder in memory where that is to be had, for what counts calls and does not wait for a disk."""
    place = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=place if place.is_dir() else None) as folder:
        yield Path(folder)
