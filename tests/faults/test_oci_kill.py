"""kill -9 of a push at each request that it makes of an OCI registry: what a tag names is whole and signed as
it was, and a repeat completes the push."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from oci_double import Double, Handler, running
from sample_bundle import make_bundle
from sampling import Some

from mlship.bundle.open import open_bundle, verify_bundle
from mlship.reference import parse_reference
from mlship.registry.oci.address import parse_address
from mlship.registry.oci.registry import OciRegistry
from mlship.registry.over_store import StoreRegistry, open_folder
from mlship.registry.transfer import copy

pytestmark = pytest.mark.faults

PUSH = """
import sys
from mlship.registry import open_registry
from mlship.registry.transfer import copy
copy(open_registry(sys.argv[1]), open_registry(sys.argv[2]), "churn", sys.argv[3], tag="1")
"""


@pytest.mark.kinds("referrers")
@pytest.mark.parametrize("referrers", [True, False])
def test_push_killed_at_each_request(tmp_path: Path, own_cache: Path, referrers: bool, some: Some) -> None:
    source = open_folder(f"dir://{tmp_path}/source")
    digest = make_bundle(source)
    source.attach("churn", digest, "application/vnd.example+json", b"a signature")
    point = 1
    while killed_at(point, source, digest, referrers):
        point += some.stride(cost=3)
    print(f"{point - 1} requests")
    assert point > 40


def killed_at(point: int, source: StoreRegistry, digest: str, referrers: bool) -> bool:
    """Push into a fresh registry that kills the client at request `point`; False if it came through."""
    with running(Double(referrers=referrers)) as double:
        clients: list[int] = []

        def lie(handler: Handler) -> bool:
            if clients and len(double.seen) >= point:
                os.kill(clients[0], signal.SIGKILL)
            return False

        command = [sys.executable, "-c", PUSH, source.url, f"oci://{double.host}", digest]
        double.lie = lie
        with subprocess.Popen(command) as client:
            clients.append(client.pid)
            code = client.wait(60)
        assert code in (0, -signal.SIGKILL)
        double.lie = None
        registry = OciRegistry(parse_address(f"oci://{double.host}"))
        if "1" in registry.tags("churn"):
            verify_bundle(open_bundle(registry, parse_reference("churn:1")))
            assert registry.attachments("churn", digest) == source.attachments("churn", digest)
        copy(source, registry, "churn", digest, tag="1")
        verify_bundle(open_bundle(registry, parse_reference("churn:1")))
        assert registry.attachments("churn", digest) == source.attachments("churn", digest)
        return code != 0
