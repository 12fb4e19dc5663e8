"""A connection to an OCI registry cut at 20 offsets of a blob, in each way: it ends well, and in time."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from oci_cuts import KINDS, offsets, pull_cut_at, push_cut_at, sample_source
from sampling import Some

pytestmark = pytest.mark.faults

CUTS = 20


@pytest.mark.kinds("kind")
@pytest.mark.parametrize("kind", KINDS)
def test_push(kind: str, tmp_path: Path, own_cache: Path, some: Some) -> None:
    source, digest, large = sample_source(tmp_path)
    for offset in some.among(offsets(CUTS, kind), cost=12):
        push_cut_at(offset, kind, source, digest, large)


@pytest.mark.kinds("kind")
@pytest.mark.parametrize("kind", KINDS)
def test_pull(kind: str, tmp_path: Path, own_cache: Path, some: Some) -> None:
    source, digest, large = sample_source(tmp_path)
    for offset in some.among(offsets(CUTS, kind), cost=12):
        pull_cut_at(offset, kind, source, digest, large, tmp_path / "target")
        shutil.rmtree(tmp_path / "target")
