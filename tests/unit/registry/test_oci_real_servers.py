"""With other programs: skopeo carries a bundle, and a real registry dies in the middle and comes back."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from oci_servers import DockerRegistry, docker_registry
from sample_bundle import make_bundle

from mlship.bundle.open import open_bundle, verify_bundle
from mlship.digest import sha256
from mlship.errors import RegistryError, TagMovedError
from mlship.reference import parse_reference
from mlship.registry.oci.address import parse_address
from mlship.registry.oci.patience import Patience
from mlship.registry.oci.registry import OciRegistry
from mlship.registry.over_store import open_folder
from mlship.registry.protocol import Tagged
from mlship.registry.transfer import copy

pytestmark = pytest.mark.server

PIECES = [bytes([number]) * (1 << 20) for number in range(48)]
WHOLE = b"".join(PIECES)


@pytest.fixture
def server(tmp_path: Path, require: Callable[[str], None], own_cache: Path) -> Iterator[DockerRegistry]:
    require("docker-registry")
    with docker_registry(tmp_path / "server") as server:
        yield server


def at(server: DockerRegistry, prefix: str = "team") -> OciRegistry:
    return OciRegistry(parse_address(f"oci://{server.host}/{prefix}"))


def test_skopeo_carries_a_bundle_unchanged(
    server: DockerRegistry, tmp_path: Path, require: Callable[[str], None]
) -> None:
    require("skopeo")
    source = open_folder(f"dir://{tmp_path}/source")
    digest = make_bundle(source)
    copy(source, at(server), "churn", digest, tag="1.0")

    def skopeo(*words: str) -> bytes:
        done = subprocess.run(["skopeo", *words], capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    there = f"docker://{server.host}"
    raw = skopeo("inspect", "--raw", "--tls-verify=false", f"{there}/team/churn:1.0")
    assert raw == source.read_manifest("churn", digest)
    layout = f"oci:{tmp_path}/layout:1.0"
    skopeo("copy", "--preserve-digests", "--src-tls-verify=false", f"{there}/team/churn:1.0", layout)
    listed = json.loads((tmp_path / "layout" / "index.json").read_bytes())["manifests"]
    assert [entry["digest"] for entry in listed] == [digest]
    skopeo("copy", "--preserve-digests", "--dest-tls-verify=false", layout, f"{there}/again/churn:2.0")
    again = at(server, "again")
    assert again.tags("churn") == {"2.0": digest}
    verify_bundle(open_bundle(again, parse_reference("churn:2.0")))


def test_a_registry_whose_disk_is_full(
    tmp_path: Path, require: Callable[[str], None], own_cache: Path
) -> None:
    require("docker-registry")
    require("tmpfs")
    disk = tmp_path / "server"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8M", "none", disk], check=True)
    try:
        with docker_registry(disk) as server:
            ballast = disk / "ballast"
            ballast.write_bytes(bytes(6 << 20))
            registry = OciRegistry(parse_address(f"oci://{server.host}"), Patience(attempts=3, pause=0.01))
            content = PIECES[:4]
            digest = sha256(b"".join(content))
            with pytest.raises(RegistryError, match="it answers 500 UNKNOWN: unknown error"):
                registry.write_blob("churn", digest, 4 << 20, content)
            ballast.unlink()
            for upload in (disk / "data").rglob("_uploads/*/data"):
                upload.unlink()
            assert registry.write_blob("churn", digest, 4 << 20, content)
    finally:
        subprocess.run(["umount", disk], check=True)


def test_many_at_one_tag(server: DockerRegistry) -> None:
    """The tag ends with one who was told so, and whoever finds another's digest there says so."""
    pushers, rounds = 8, 6
    registries = [at(server) for _ in range(pushers)]
    digests = [make_bundle(registries[0], model=b"%d" % number) for number in range(pushers)]
    before = registries[0].set_tag("churn", "prod", make_bundle(registries[0]), None)
    refusals = 0
    for _ in range(rounds):
        ready = threading.Barrier(pushers)

        def push(number: int, expected: Tagged, ready: threading.Barrier) -> str:
            ready.wait(10)
            try:
                return registries[number].set_tag("churn", "prod", digests[number], expected).digest
            except TagMovedError:
                return ""

        with ThreadPoolExecutor(pushers) as threads:
            told = list(threads.map(push, range(pushers), [before] * pushers, [ready] * pushers))
        now = registries[0].read_tag("churn", "prod")
        assert now is not None
        assert now.digest in told
        refusals += told.count("")
        before = now
    assert refusals > 0, "nobody met anybody"


class Falling:
    """Content that, the first time through, takes the server down in its middle; it is back in a second."""

    def __init__(self, server: DockerRegistry) -> None:
        self.server, self.passes = server, 0

    def __iter__(self) -> Iterator[bytes]:
        self.passes += 1
        for number, piece in enumerate(PIECES):
            if self.passes == 1 and number == len(PIECES) // 2:
                self.server.fall()
            yield piece


def test_a_registry_that_is_killed_during_a_push(server: DockerRegistry) -> None:
    registry, content = at(server), Falling(server)
    assert registry.write_blob("churn", sha256(WHOLE), len(WHOLE), content)
    assert content.passes == 2, "more than one blob was sent again"
    assert at(server).has_blob("churn", sha256(WHOLE))


def test_a_registry_that_is_killed_during_a_pull(server: DockerRegistry) -> None:
    registry = at(server)
    registry.write_blob("churn", sha256(WHOLE), len(WHOLE), PIECES)
    seen = bytearray()
    for piece in registry.read_blob("churn", sha256(WHOLE), len(WHOLE)):
        if not seen:
            server.fall()
        seen += piece
    assert seen == WHOLE
