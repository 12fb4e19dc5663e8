"""One signed bundle through every kind of registry, on real servers: one digest, verified at each stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from mlflow_servers import MlflowServer
from oci_servers import docker_registry
from sample_bundle import make_bundle
from ssh_server import SshServer

from mlship.registry import open_registry

pytestmark = [pytest.mark.server, pytest.mark.timeout(600)]


@pytest.fixture
def stops(
    tmp_path: Path,
    own_cache: Path,
    require: Callable[[str], None],
    cloud_of: Any,
    mlflow: MlflowServer,
    sshd: SshServer,
    agent: Callable[[Path], object],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[list[str]]:
    """The URLs from a folder to another one: docker-registry, S3, Azure Blob, MLflow, a machine by SSH."""
    require("docker-registry")
    s3, azure = cloud_of("s3"), cloud_of("azblob")
    for name, value in (s3.environment() | azure.environment()).items():
        monkeypatch.setenv(name, value)
    first, last = f"dir://{tmp_path}/first", f"dir://{tmp_path}/last"
    sshd.known_in(tmp_path / ".ssh" / "known_hosts")
    agent(sshd.key)
    monkeypatch.setenv("HOME", str(tmp_path))
    by_ssh = f"ssh://{sshd.address}{tmp_path}/by-ssh"
    with docker_registry(tmp_path / "oci") as oci:
        yield [first, f"oci://{oci.host}/team", s3.fresh(), azure.fresh(), mlflow.counted(), by_ssh, last]


def test_one_bundle_goes_through_all_registries(run: Any, stops: list[str]) -> None:
    first = open_registry(stops[0])
    digest = make_bundle(first, model=b"weights" * 100_000)
    first.set_tag("churn", "1.4", digest, None)
    manifest = first.read_manifest("churn", digest)
    note = first.attach("churn", digest, "application/vnd.example+json", b'{"seen": true}')
    assert run("key", "generate", "my.key").code == 0
    assert run("sign", f"{stops[0]}/churn:1.4", "--key", "my.key").code == 0
    signed = first.attachments("churn", digest)
    assert len(signed) == 2
    for here, there in pairwise(stops):
        copied = run("copy", f"{here}/churn:1.4", there, "--json")
        assert copied.code == 0, copied.err
        (done,) = copied.envelope["result"]["bundles"]
        assert (done["digest"], done["sentBlobs"], done["sentAttachments"]) == (digest, 8, 2)
        again = run("copy", f"{here}/churn:1.4", there, "--json").envelope["result"]["bundles"][0]
        assert (again["sentBlobs"], again["sentAttachments"], again["presentBlobs"]) == (0, 0, 8)
        verified = run("verify", f"{there}/churn:1.4", "--key", "my.pub", "--json")
        assert verified.code == 0, verified.err
        assert verified.envelope["result"]["digest"] == digest
        assert verified.envelope["result"]["signedBy"]
        registry = open_registry(there)
        assert registry.read_manifest("churn", digest) == manifest
        assert registry.attachments("churn", digest) == signed
        assert registry.read_attachment("churn", note) == b'{"seen": true}'
        assert registry.tags("churn") == {"1.4": digest}
