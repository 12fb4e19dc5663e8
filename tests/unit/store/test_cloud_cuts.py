"""Each kind of cut once, at an offset of its own; tests/faults/test_cloud_cuts.py has them all."""

from __future__ import annotations

from typing import Any

import pytest
from cloud_cuts import KINDS, read_cut_at, write_cut_at

CLOUDS = pytest.mark.parametrize("cloud", ["s3", "azblob"], indirect=True)


@CLOUDS
@pytest.mark.parametrize("kind", KINDS)
def test_a_write_that_is_cut_goes_on(cloud: Any, kind: str) -> None:
    write_cut_at(cloud, 700_000 * (1 + KINDS.index(kind)), kind)


@CLOUDS
@pytest.mark.parametrize("kind", KINDS)
def test_a_read_that_is_cut_goes_on(cloud: Any, kind: str) -> None:
    read_cut_at(cloud, 500_000 * (1 + KINDS.index(kind)), kind)
