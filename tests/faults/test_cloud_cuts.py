"""Connections cut at 20 offsets in 7 ways, up and down, for S3 and Azure Blob."""

from __future__ import annotations

from typing import Any

import pytest
from cloud_cuts import KINDS, PART, offsets, read_cut_at, write_cut_at
from sampling import Some

pytestmark = [pytest.mark.faults, pytest.mark.server, pytest.mark.timeout(600)]

COUNT = 20
CLOUDS = pytest.mark.parametrize("cloud", ["s3", "azblob"], indirect=True)


@CLOUDS
@pytest.mark.kinds("kind")
@pytest.mark.parametrize("kind", KINDS)
def test_a_write_that_is_cut_goes_on(cloud: Any, kind: str, some: Some) -> None:
    for offset in some.among(offsets(COUNT, PART, kind), cost=12):
        write_cut_at(cloud, offset, kind)


@CLOUDS
@pytest.mark.kinds("kind")
@pytest.mark.parametrize("kind", KINDS)
def test_a_read_that_is_cut_goes_on(cloud: Any, kind: str, some: Some) -> None:
    end = PART if cloud.scheme == "s3" else 4 << 20  # Azure is read in windows
    for offset in some.among(offsets(COUNT, end, kind), cost=12):
        read_cut_at(cloud, offset, kind)
