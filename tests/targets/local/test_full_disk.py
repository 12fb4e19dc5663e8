"""A disk that is full costs lines of logs: a service goes on serving."""

from __future__ import annotations

import contextlib
import subprocess
import time
from pathlib import Path

import pytest
from tests.targets.local.conftest import Onhost, infer


@pytest.fixture
def logs(onhost: Onhost, require):
    """The service's folder of logs, on a small disk of its own."""
    require("tmpfs")
    folder = onhost.base / "services" / onhost.service / "logs"
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(folder)], check=True)
    yield folder
    subprocess.run(["mount", "-o", "remount,rw,size=1M", str(folder)], check=False)
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.faults
def test_serving_goes_on(onhost, make_bundle, logs: Path) -> None:
    bundle = make_bundle(2.0)
    port = onhost.deploy(1, bundle, accessLog=True)["port"]
    assert infer(port)[0] == bundle.digest
    with (logs / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 512)  # until there is no space
    for _ in range(50):
        assert infer(port)[0] == bundle.digest
    time.sleep(1.0)  # the log is flushed meanwhile
    assert infer(port)[0] == bundle.digest
    (worker,) = onhost("observe")["releases"][0]["workers"]
    assert (worker["state"], worker["restarts"]) == ("serving", 0)
