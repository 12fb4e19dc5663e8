"""A few cuts of each kind, other ones with another --seed; tests/faults has them all."""

from __future__ import annotations

from pathlib import Path

import pytest
from oci_cuts import KINDS, offsets, pull_cut_at, push_cut_at, sample_source


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["push", "pull"])
def test_a_cut_is_mended(
    way: str, kind: str, tmp_path: Path, own_cache: Path, request: pytest.FixtureRequest
) -> None:
    source, digest, large = sample_source(tmp_path)
    for offset in offsets(2, f"{request.config.getoption('seed')} {way} {kind}"):
        if way == "push":
            push_cut_at(offset, kind, source, digest, large)
        else:
            pull_cut_at(offset, kind, source, digest, large, tmp_path / f"target-{offset}")
