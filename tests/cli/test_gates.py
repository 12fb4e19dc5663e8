"""What a target requires beside a signature, as it is seen from outside: exit 4, and nothing is changed."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sample_bundle import LINUX, make_layers, make_spec, write_bundle
from sample_project import HEAD, count_as_built, own_registry

from mlship.bundle.archive import write_layer

TOML = (
    HEAD
    + """[trust]
keys = { release = "release.pub" }
[targets.proved]
type = "local"
require = ["parity"]
[targets.scanned]
type = "local"
require = ["scan"]
[targets.lenient]
type = "local"
require = ["scan"]
scan_except = ["runtime/*/pkg/*"]
[targets.all]
type = "local"
require = ["scan", "signature", "parity"]
"""
)
TOLERANCE = {"abs": 1e-4, "rel": 1e-4}
PICKLED = {f"runtime/{LINUX}/pkg/data.bin": pickle.dumps({"a": [1.0] * 9}, protocol=4)}
Built = Callable[..., None]


@pytest.fixture
def built(tmp_path: Path) -> Built:
    """`built(files, parity)`: the project's last build, with these files in the runtime and this proof."""
    (tmp_path / "mlship.toml").write_text(TOML)

    def make(files: dict[str, bytes] | None = None, parity: dict[str, Any] | None = None) -> None:
        layers = make_layers(tmp_path)
        packages = {f"runtime/{LINUX}/numpy/core.so": b"\x7fELF", **(files or {})}
        layers[3] = write_layer(layers[3].path, "runtime", packages.items(), platform=LINUX)
        spec = make_spec(layers)
        spec["parity"] = {**spec["parity"], "tolerance": TOLERANCE, **(parity or {})}
        count_as_built(tmp_path, write_bundle(own_registry(tmp_path), layers, spec))

    return make


def untouched(home: Path) -> bool:
    return not [path for path in home.rglob("*") if path.is_file()]


@pytest.mark.parametrize("verb", ["plan", "deploy"])
@pytest.mark.parametrize("target", ["scanned", "all"])
def test_a_pickle_in_a_package_is_not_let_in(
    built: Built, run, own_home: Path, verb: str, target: str
) -> None:
    built(PICKLED)
    run("key", "generate", "release.key")
    run("sign", "--key", "release.key")
    ended = run(verb, target, "churn:1.0")
    assert (ended.code, ended.out) == (4, "")
    said = ended.err.splitlines()[-1]
    assert said.startswith(f"error: churn:1.0 does not pass the scan: {next(iter(PICKLED))} is a pickle: ")
    assert said.endswith("scan_except of the target")
    assert untouched(own_home)


@pytest.mark.parametrize("verb", ["plan", "deploy"])
def test_an_unproved_bundle_is_not_let_in(built: Built, run, own_home: Path, verb: str) -> None:
    built(parity={"rows": 0})
    ended = run(verb, "proved", "churn:1.0")
    assert (ended.code, ended.out) == (4, "")
    assert ended.err.startswith(
        "error: churn:1.0 does not prove that it answers as its original: "
        "its model was never compared with the original. Build it again"
    )
    assert untouched(own_home)


@pytest.mark.parametrize("target", ["proved", "scanned"])
def test_a_good_bundle_is_let_in(built: Built, run, target: str) -> None:
    """What stops it then is that this bundle runs nowhere, which pre-flight finds."""
    built()
    assert run("plan", target, "churn:1.0").code not in (4, 9)


def test_what_a_target_excepts_is_let_in(built: Built, run) -> None:
    built(PICKLED)
    assert run("plan", "lenient", "churn:1.0").code not in (4, 9)


def test_the_quickest_gate_comes_first(built: Built, run) -> None:
    built(PICKLED, {"rows": 0})
    assert (run("key", "generate", "release.key").code, run("plan", "all", "churn:1.0").code) == (0, 9)
    run("sign", "--key", "release.key")
    assert "never compared" in run("plan", "all", "churn:1.0").err


def test_verify_scans_when_asked(built: Built, run) -> None:
    built()
    ended = run("verify", "--scan")
    assert (ended.code, ended.out.splitlines()[-1]) == (
        0,
        "no pickle in it, and nothing that looks like a secret",
    )
    assert run("verify", "--scan", "--json").envelope["result"]["scanned"] is True
    built(PICKLED)
    assert run("verify").code == 0
    refused = run("verify", "--scan")
    assert (refused.code, "data.bin is a pickle" in refused.err) == (4, True)


def test_an_unknown_gate_is_named_with_those_that_there_are(run, tmp_path: Path) -> None:
    (tmp_path / "mlship.toml").write_text(TOML.replace('["parity"]', '["beauty"]'))
    ended = run("plan", "proved", "churn:1.0")
    assert (ended.code, "One of: signature, parity, scan, quality" in ended.err) == (2, True)
