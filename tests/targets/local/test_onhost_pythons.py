"""The far side on the Pythons of hosts: old ones serve as tools, too old and wrong ones are named."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.targets.local.conftest import BOOT, PYTHON, Onhost, infer


def other_python(version: str) -> str:
    """Another interpreter of this machine; skips the test where there is none."""
    versions = Path(PYTHON).parents[2]  # pyenv keeps them side by side
    found = [*sorted(versions.glob(f"{version}*/bin/python{version}")), shutil.which(f"python{version}")]
    for candidate in found:
        if candidate and run(str(candidate), "-c", "pass").returncode == 0:
            return str(candidate)
    return pytest.skip(f"no Python {version} here: install it (pyenv, or the system's package)")


def run(python: str, *words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([python, *words], capture_output=True, check=False)


@pytest.mark.parametrize("version", ["3.9", "3.13"])
def test_a_service_is_supervised_by_another_python(onhost: Onhost, make_bundle, version: str) -> None:
    onhost.python = other_python(version)
    facts = onhost("facts")
    assert facts["python"][:2] == [int(part) for part in version.split(".")]
    bundle = make_bundle(2.0)
    settled = onhost.deploy(1, bundle, python=PYTHON)
    assert infer(settled["port"])[0] == bundle.digest
    onhost("destroy")


def test_a_release_for_another_python_is_refused_by_name(onhost: Onhost, make_bundle) -> None:
    version = "3.12" if sys.version_info[:2] != (3, 12) else "3.13"
    onhost.stage(1, make_bundle(2.0), python=other_python(version))
    onhost("open", host="127.0.0.1", port=0)
    error = onhost.refused("start", release=1, timeout=30)
    here = "{}.{}".format(*sys.version_info[:2])
    assert error["what"] == "release 1 cannot run here"
    assert error["cause"] == f"it needs Python {here}, this is Python {version}"


def test_a_python_that_is_not_there_is_named(onhost: Onhost, make_bundle) -> None:
    bundle = make_bundle(2.0)
    onhost.send(bundle)
    error = onhost.refused("stage", **onhost.release(1, bundle, python="/usr/bin/python9.9"))
    assert error["what"] == "there is no Python /usr/bin/python9.9"
    assert "`python`" in error["fix"]


@pytest.mark.parametrize("version", ["2.7", "3.6", "3.8"])
def test_a_python_that_is_too_old_says_so(version: str) -> None:
    done = run(other_python(version), "-S", str(BOOT), "host", "facts")
    assert done.returncode == 6
    assert done.stderr.startswith(b"mlship needs Python 3.9 or newer on the host: ")
