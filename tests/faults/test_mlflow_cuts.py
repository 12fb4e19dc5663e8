"""The way to an MLflow server is cut in the middle of a push or a pull, or the server dies and comes back."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cutting_proxy import KINDS, Cut
from mlflow_servers import MlflowServer, at, mlflow_server
from sample_bundle import make_bundle
from sampling import Some

from mlship.bundle.open import open_bundle, verify_bundle
from mlship.digest import hex_of
from mlship.errors import RegistryError
from mlship.reference import parse_reference
from mlship.registry.flow import AT_ONCE
from mlship.registry.oci.patience import Patience
from mlship.registry.over_store import StoreRegistry, open_folder
from mlship.registry.transfer import copy

pytestmark = [pytest.mark.faults, pytest.mark.server, pytest.mark.timeout(900)]

SIZE = 3 << 20
CUTS = 20
IMPATIENT = Patience(attempts=5, pause=0.02, connect=10, stall=3, small=30)
PATIENT = Patience(attempts=12, pause=0.5, longest=60, connect=10, stall=60, small=60)


def source_of(folder: Path, *, seed: str = "", size: int = SIZE) -> tuple[StoreRegistry, str, str]:
    """A registry with one bundle, its digest, and that of its only large blob."""
    source = open_folder(f"dir://{folder}/source")
    digest = make_bundle(source, model=random.Random(seed).randbytes(size))
    bundle = open_bundle(source, parse_reference(f"churn@{digest}"))
    return source, digest, max(bundle.manifest.blobs, key=lambda blob: blob.size).digest


def offsets(kind: str) -> list[int]:
    """Where it is cut; a stall costs its whole time limit, so it has few."""
    found = sorted(random.Random(kind).sample(range(1, SIZE), CUTS - 2))
    return [0, SIZE // 2] if kind == "stall" else [0, *found, SIZE]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.kinds("kind")
def test_a_push_that_is_cut(mlflow: MlflowServer, tmp_path: Path, kind: str, some: Some) -> None:
    assert mlflow.proxy
    for number, offset in enumerate(some.among(offsets(kind), cost=12)):
        source, digest, large = source_of(tmp_path / str(number), seed=f"{kind} {number}")
        registry = at(mlflow.counted(), IMPATIENT)
        mlflow.proxy.seen.clear()
        mlflow.proxy.cuts[:] = [cut := Cut(kind, "PUT", hex_of(large), offset)]
        if kind == "401":
            with pytest.raises(RegistryError, match="does not let us in"):
                copy(source, registry, "churn", digest, tag="1.0")
            assert registry.names() == [], "nothing is published"
        copy(source, registry, "churn", digest, tag="1.0")
        assert cut.hit
        sent = mlflow.proxy.of("PUT", hex_of(large))
        assert len(sent) == 2, "once more, and no other blob"
        blobs = Counter(x.target for x in mlflow.proxy.of("PUT", "/blobs/sha256/"))
        twice = [blob for blob, count in blobs.items() if count > 1]
        # Where the first try ended the copy, what was on its way beside it was ended, too.
        assert len(twice) <= (AT_ONCE if kind == "401" else 1)
        verify_bundle(open_bundle(at(registry.url), parse_reference("churn:1.0")))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.kinds("kind")
def test_a_pull_that_is_cut(mlflow: MlflowServer, tmp_path: Path, kind: str, some: Some) -> None:
    assert mlflow.proxy
    source, digest, large = source_of(tmp_path)
    registry = at(mlflow.counted(), IMPATIENT)
    copy(source, registry, "churn", digest, tag="1.0")
    for number, offset in enumerate(some.among(offsets(kind), cost=12)):
        target = open_folder(f"dir://{tmp_path}/{number}")
        mlflow.proxy.seen.clear()
        mlflow.proxy.cuts[:] = [cut := Cut(kind, "GET", f"/blobs/sha256/{hex_of(large)}", offset, down=True)]
        if kind == "401":
            with pytest.raises(RegistryError, match="does not let us in"):
                copy(at(registry.url, IMPATIENT), target, "churn", digest, tag="1.0")
            assert target.names() == []
        copy(at(registry.url, IMPATIENT), target, "churn", digest, tag="1.0")
        assert cut.hit
        received = sum(x.received for x in mlflow.proxy.of("GET", hex_of(large)))
        assert received <= 2 * (SIZE + 8192), "no more than one blob again"
        verify_bundle(open_bundle(target, parse_reference("churn:1.0")))


METHODS = ("logged-models$", "registered-models/create", "model-versions/create", "registered-models/set-tag")


@pytest.mark.parametrize("method", METHODS)
def test_an_answer_that_is_lost(mlflow: MlflowServer, tmp_path: Path, method: str) -> None:
    assert mlflow.proxy
    source, digest, _ = source_of(tmp_path, seed=method, size=1 << 10)
    registry = at(mlflow.counted(), IMPATIENT)
    mlflow.proxy.cuts[:] = [cut := Cut("close", "POST", method, lose_answer=True)]
    copy(source, registry, "churn", digest, tag="1.0")
    assert cut.hit
    assert [x.number for x in registry.catalogue.versions(registry.address.model)] == [1]
    verify_bundle(open_bundle(at(registry.url), parse_reference("churn:1.0")))


@pytest.fixture
def alone(tmp_path: Path, require: Callable[[str], None]) -> Iterator[MlflowServer]:
    """A server of this test alone, which it may kill."""
    require("mlflow")
    folder = tmp_path / "server"
    folder.mkdir()
    with mlflow_server(folder) as server:
        yield server


def test_a_server_that_dies_and_comes_back(alone: MlflowServer, tmp_path: Path) -> None:
    source, digest, large = source_of(tmp_path, size=24 << 20)
    registry = at(alone.url("churn"), PATIENT)
    opened, fallen = source.read_blob, []

    def falling(name: str, blob: str, size: int) -> Iterator[bytes]:
        for number, piece in enumerate(opened(name, blob, size)):
            if blob == large and number == 12 and not fallen:
                fallen.append(blob)
                alone.fall()
            yield piece

    source.read_blob = falling  # type: ignore[method-assign]
    copy(source, registry, "churn", digest, tag="1.0")
    assert fallen
    assert [x.number for x in registry.catalogue.versions("churn")] == [1]
    target = open_folder(f"dir://{tmp_path}/target")
    reading, again = registry.read_blob, []

    def dying(name: str, blob: str, size: int) -> Iterator[bytes]:
        for piece in reading(name, blob, size):
            if blob == large and not again:
                again.append(blob)
                alone.returning.join(200) if alone.returning else None
                alone.fall()
            yield piece

    registry.read_blob = dying  # type: ignore[method-assign]
    copy(registry, target, "churn", digest, tag="1.0")
    assert again
    verify_bundle(open_bundle(target, parse_reference("churn:1.0")))


def test_a_push_that_is_killed(mlflow: MlflowServer, tmp_path: Path) -> None:
    """kill -9 after each request that changes something: the next push finishes, with one version, and sends
    at most one blob again."""
    assert mlflow.proxy
    for number in range(24):
        source, digest, _ = source_of(tmp_path / str(number), seed=f"killed {number}", size=1 << 12)
        source.set_tag("churn", "1.0", digest, None)
        url = mlflow.counted()
        # The request with this number gets no answer, so that the pusher stands there when it is killed.
        changing = "experiments|logged-models|registered-models|model-versions|mlflow-artifacts"
        cuts = [Cut("stall", verb, changing, lose_answer=True) for verb in ("POST", "PUT", "PATCH")]
        for cut in cuts:
            cut.skip = number // 3
        mlflow.proxy.seen.clear()
        mlflow.proxy.cuts[:] = [cuts[number % 3]]
        words = ["copy", f"{source.url}/churn:1.0", url]
        pusher = subprocess.Popen([sys.executable, "-m", "mlship.cli.main", *words])
        end = time.monotonic() + 120
        while pusher.poll() is None and not cuts[number % 3].hit and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(0.3)  # until the server has done what it was asked
        pusher.send_signal(signal.SIGKILL)
        pusher.wait(10)
        mlflow.proxy.cuts.clear()
        there = {x.target for x in mlflow.proxy.of("PUT", "/blobs/sha256/") if x.status == 200}
        mlflow.proxy.seen.clear()
        registry = at(url)
        copy(source, registry, "churn", digest, tag="1.0")
        again = {x.target for x in mlflow.proxy.of("PUT", "/blobs/sha256/")} & there
        manifest = {target for target in again if target.endswith(hex_of(digest))}
        assert len(again - manifest) <= 1
        assert [x.number for x in registry.catalogue.versions(registry.address.model)] == [1]
        verify_bundle(open_bundle(at(url), parse_reference("churn:1.0")))
