"""Cuts a push or a pull at an offset of its large blob, in every way a connection can fail, and looks at what
came of it: whole in the end, in time, and no more than the one blob sent again."""

from __future__ import annotations

import random
import time
from pathlib import Path

from oci_double import KINDS, Double, Fault, running
from sample_bundle import make_bundle

from mlship.bundle.open import open_bundle, verify_bundle
from mlship.reference import parse_reference
from mlship.registry.oci.address import parse_address
from mlship.registry.oci.docker_config import Credentials
from mlship.registry.oci.patience import Patience
from mlship.registry.oci.registry import OciRegistry
from mlship.registry.over_store import StoreRegistry, open_folder
from mlship.registry.transfer import copy
from mlship_runtime.bundle.manifest import read_manifest

# A machine that is busy is not to be taken for a connection that stalls.
PATIENCE = Patience(pause=0.01, stall=15)
STALLED = Patience(pause=0.01, stall=1.5)
TIME_LIMIT = 30.0
LARGE = random.Random(4).randbytes(3 << 20)
__all__ = ["KINDS", "offsets", "pull_cut_at", "push_cut_at", "sample_source"]


def sample_source(folder: Path) -> tuple[StoreRegistry, str, str]:
    """A folder with a bundle, its digest, and that of its large layer."""
    source = open_folder(f"dir://{folder}/source")
    digest = make_bundle(source, model=LARGE)
    layers = read_manifest(source.read_manifest("churn", digest)).layers
    return source, digest, max(layers, key=lambda layer: layer.size).digest


def offsets(count: int, seed: str) -> list[int]:
    """So many places in the large blob, the first and the last byte among them where there are enough."""
    ends = [0, len(LARGE)] if count > 3 else []
    return sorted([*ends, *random.Random(seed).sample(range(1, len(LARGE)), count - len(ends))])


def push_cut_at(offset: int, kind: str, source: StoreRegistry, digest: str, large: str) -> None:
    """A push whose upload of the large blob fails after `offset` bytes."""
    with running(Double(auth="bearer" if kind == "401" else "none")) as double:
        registry = _registry(double, kind)
        double.faults.append(
            Fault(kind, "PUT", f"digest={large.replace(':', '%3A')}", offset, retry_after="1")
        )
        began = time.monotonic()
        copy(source, registry, "churn", digest, tag="1")
        assert time.monotonic() - began < TIME_LIMIT
        assert double.faults == [], "the cut did not happen"
        came = sum(x.came for x in double.of("PUT", "/blobs/"))
        blobs = read_manifest(source.read_manifest("churn", digest)).blobs
        assert came <= sum(blob.size for blob in blobs) + max(blob.size for blob in blobs)
        if kind == "429":
            assert time.monotonic() - began >= 1, "Retry-After was not kept"
        verify_bundle(open_bundle(_registry(double, kind), parse_reference("churn:1")))


def pull_cut_at(offset: int, kind: str, source: StoreRegistry, digest: str, large: str, target: Path) -> None:
    """A pull whose download of the large blob fails after `offset` bytes."""
    with running(Double(auth="bearer" if kind == "401" else "none")) as double:
        registry = _registry(double, kind)
        copy(source, registry, "churn", digest, tag="1")
        double.seen.clear()
        double.faults.append(Fault(kind, "GET", f"/blobs/{large}", offset, retry_after="1"))
        back = open_folder(f"dir://{target}")
        began = time.monotonic()
        copy(registry, back, "churn", digest, tag="1")
        assert time.monotonic() - began < TIME_LIMIT
        assert double.faults == [], "the cut did not happen"
        whole = next(
            x.size for x in read_manifest(source.read_manifest("churn", digest)).blobs if x.digest == large
        )
        went = [x for x in double.of("GET", f"/blobs/{large}") if x.status in (200, 206)]
        assert sum(x.went for x in went) <= 2 * whole
        if offset > len(LARGE) // 2 and kind != "reset":  # a reset may take with it what had arrived
            assert any(x.status == 206 for x in went), "it did not go on where it was cut"
        verify_bundle(open_bundle(back, parse_reference("churn:1")))


def _registry(double: Double, kind: str) -> OciRegistry:
    registry = OciRegistry(parse_address(f"oci://{double.host}"), STALLED if kind == "stall" else PATIENCE)
    if kind == "401":
        registry.client.authority._credentials = Credentials("ann", "pass-word-canary")
        registry.client.authority._looked = True
    return registry
