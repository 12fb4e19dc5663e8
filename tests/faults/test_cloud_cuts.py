"""Connections cut at 20 offsets in 7 ways, up and down, for S3 and Azure Blob."""

from __future__ import annotations

from typing import Any

import pytest
from cloud_cuts import KINDS, PART, offsets, read_cut_at, write_cut_at

pytestmark = [pytest.mark.faults, pytest.mark.server]

COUNT = 20
CLOUDS = pytest.mark.parametrize("cloud", ["s3", "azblob"], indirect=True)


@CLOUDS
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at", range(COUNT))
def test_a_write_that_is_cut_goes_on(cloud: Any, kind: str, at: int) -> None:
    write_cut_at(cloud, offsets(COUNT, PART, kind)[at], kind)


@CLOUDS
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at", range(COUNT))
def test_a_read_that_is_cut_goes_on(cloud: Any, kind: str, at: int) -> None:
    end = PART if cloud.scheme == "s3" else 4 << 20  # Azure is read in windows
    read_cut_at(cloud, offsets(COUNT, end, kind)[at], kind)
