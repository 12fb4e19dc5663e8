"""What must not be trusted, as a shell sees it: it ends with 4, one line of error, no result. One of each is
a process of its own; the others are the same program inside this one.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sample_bundle import make_bundle
from sample_project import HEAD, count_as_built, own_registry

from mlship.trust.private import generate_key
from mlship.trust.provenance import ATTACHED_AS, predicate, record_file
from mlship_runtime.bundle import canonical

TOML = (
    HEAD
    + """[trust]
keys = { release = "release.pub", ci = "ci.pub" }
[targets.prod]
type = "local"
require = ["signature"]
signed_by = ["release"]
"""
)


class Project:
    """A signed bundle `churn:1.0` in a project of its own, and what may be done to it."""

    def __init__(self, root: Path, mlship: Callable[..., subprocess.CompletedProcess[str]]) -> None:
        self.root, self.mlship = root, mlship
        self.store = root / ".mlship" / "store"
        self.registry = own_registry(root)
        (self.digest,) = self.registry.digests("churn") or [self.made("1.0")]

    def made(self, version: str) -> str:
        return count_as_built(self.root, make_bundle(self.registry, version=version), version)

    def ok(self, *words: str) -> None:
        done = self.mlship(*words)
        assert done.returncode == 0, done.stderr

    def sign(self, key: str, reference: str = "churn:1.0") -> None:
        self.ok("sign", reference, "--key", f"{key}.key")

    def change(self, file: Path, bit: int = 1, at: int = -9) -> None:
        data = bytearray(file.read_bytes())
        data[at] ^= bit
        file.chmod(0o644)
        file.write_bytes(data)

    def blob(self, digest: str) -> Path:
        return self.store / "blobs" / "sha256" / digest[7:]

    def attached(self, digest: str) -> Any:
        return self.registry.attachments("churn", digest)

    def layer(self, role: str) -> Path:
        manifest = json.loads(self.registry.read_manifest("churn", self.digest))
        found = (x["digest"] for x in manifest["layers"] if x["annotations"]["vnd.mlship.role"] == role)
        return self.blob(next(found))


def another_key(project: Project) -> None:
    project.sign("stranger")


def a_key_for_something_else(project: Project) -> None:
    project.sign("ci")


def a_revoked_key(project: Project) -> None:
    project.sign("release")
    shown = project.mlship("key", "show", "release.pub", "--json").stdout
    revoked = json.loads(shown)["result"]["id"]
    (project.root / "mlship.toml").write_text(TOML.replace("[trust]", f'[trust]\nrevoked = ["{revoked}"]'))


def the_signature_of_another_bundle(project: Project) -> None:
    other = project.made("2.0")
    project.sign("release", "churn:2.0")
    (kept,) = project.attached(other)
    data = project.registry.read_attachment("churn", kept)
    project.registry.attach("churn", project.digest, kept.media_type, data)


def a_signed_statement_of_another_kind(project: Project) -> None:
    """Provenance by the right key of the right bundle, handed in as its signature."""
    said = predicate([], mlship="1.2.3", locked=True)
    file = record_file(project.root / ".mlship", project.digest)
    file.parent.mkdir()
    file.write_bytes(canonical.encode(said))
    project.sign("release")
    one, two = sorted(project.attached(project.digest), key=lambda kept: kept.media_type == ATTACHED_AS)
    provenance = project.registry.read_attachment("churn", two)
    records = project.store / "attachments" / "churn" / project.digest[7:]
    for record in records.iterdir():
        record.unlink()
    project.registry.attach("churn", project.digest, one.media_type, provenance)


def a_changed_signature(project: Project) -> None:
    project.sign("release")
    (kept,) = project.attached(project.digest)
    data = bytearray(project.registry.read_attachment("churn", kept))
    at = data.index(b'"sig":"') + 40
    data[at] = ord("A") if data[at] != ord("A") else ord("B")
    for record in (project.store / "attachments" / "churn" / project.digest[7:]).iterdir():
        record.unlink()
    project.registry.attach("churn", project.digest, kept.media_type, bytes(data))


def a_damaged_signature(project: Project) -> None:
    project.sign("release")
    (kept,) = project.attached(project.digest)
    project.change(project.blob(kept.digest))


def noise_for_a_signature(project: Project) -> None:
    project.sign("release")
    (kept,) = project.attached(project.digest)
    for record in (project.store / "attachments" / "churn" / project.digest[7:]).iterdir():
        record.unlink()
    project.registry.attach("churn", project.digest, kept.media_type, b"noise")


UNTRUSTED = [
    another_key,
    a_key_for_something_else,
    a_revoked_key,
    the_signature_of_another_bundle,
    a_signed_statement_of_another_kind,
    a_changed_signature,
    a_damaged_signature,
    noise_for_a_signature,
]


def a_bit_of_the_manifest(project: Project) -> None:
    project.change(project.store / "manifests" / "churn" / project.digest[7:])


def a_bit_of_the_spec(project: Project) -> None:
    project.change(project.layer("spec"))


def a_bit_of_the_model(project: Project) -> None:
    project.change(project.layer("model"), at=515)


def a_bit_of_padding(project: Project) -> None:
    project.change(project.layer("golden"))


def a_layer_cut_short(project: Project) -> None:
    file = project.layer("runtime")
    data = file.read_bytes()
    file.chmod(0o644)
    file.write_bytes(data[:-512])


def a_layer_with_more(project: Project) -> None:
    file = project.layer("reduction")
    data = file.read_bytes()
    file.chmod(0o644)
    file.write_bytes(data + bytes(512))


def layers_exchanged(project: Project) -> None:
    one, two = project.layer("model"), project.layer("golden")
    first, second = one.read_bytes(), two.read_bytes()
    for file, data in ((one, second), (two, first)):
        file.chmod(0o644)
        file.write_bytes(data)


def the_manifest_of_another_bundle(project: Project) -> None:
    other = project.made("2.0")
    manifests = project.store / "manifests" / "churn"
    (manifests / project.digest[7:]).chmod(0o644)
    (manifests / project.digest[7:]).write_bytes((manifests / other[7:]).read_bytes())


DAMAGED = [
    a_bit_of_the_manifest,
    a_bit_of_the_spec,
    a_bit_of_the_model,
    a_bit_of_padding,
    a_layer_cut_short,
    a_layer_with_more,
    layers_exchanged,
    the_manifest_of_another_bundle,
]


def started(root: Path) -> Project:
    def mlship(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "mlship.cli.main", *words]
        return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)

    return Project(root, mlship)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three keys and a bundle, not signed."""
    root = tmp_path_factory.mktemp("first") / "churn"
    root.mkdir()
    (root / "mlship.toml").write_text(TOML)
    for name in ("release", "ci", "stranger"):
        generate_key(root / f"{name}.key")
    started(root)
    return root


@pytest.fixture
def root(tmp_path: Path, first: Path, own_home: Path) -> Path:
    return Path(shutil.copytree(first, tmp_path / "churn"))


@pytest.fixture
def project(root: Path, run: Any, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(root)

    def mlship(*words: str) -> subprocess.CompletedProcess[str]:
        ended = run(*words)
        return subprocess.CompletedProcess(words, ended.code, ended.out, ended.err)

    return Project(root, mlship)


def refused(project: Project, *words: str) -> None:
    done = project.mlship(*words)
    assert (done.returncode, done.stdout) == (4, ""), done.stderr
    assert [line[:7] for line in done.stderr.splitlines() if not line.endswith(" ...")] == ["error: "]


@pytest.mark.parametrize("change", UNTRUSTED)
def test_untrusted(project: Project, own_home: Path, change: Callable[[Project], None]) -> None:
    check_untrusted(project, own_home, change)


@pytest.mark.parametrize("change", DAMAGED)
def test_damaged(project: Project, change: Callable[[Project], None]) -> None:
    check_damaged(project, change)


def test_as_processes_of_their_own(root: Path, own_home: Path) -> None:
    check_untrusted(started(root), own_home, another_key)
    check_damaged(started(root), a_bit_of_the_model)


def check_untrusted(project: Project, own_home: Path, change: Callable[[Project], None]) -> None:
    change(project)
    refused(project, "verify", "churn:1.0", "--key", "release")
    refused(project, "plan", "prod", "churn:1.0")
    assert not [path for path in own_home.rglob("*") if path.is_file()]


def test_what_is_whole_and_signed_is_not_refused(project: Project) -> None:
    project.sign("release")
    project.ok("verify", "churn:1.0", "--key", "release")


def check_damaged(project: Project, change: Callable[[Project], None]) -> None:
    project.sign("release")
    change(project)
    refused(project, "verify", "churn:1.0", "--key", "release")
    refused(project, "export", f"churn@{project.digest}", "out.tar")
    assert not (project.root / "out.tar").exists()
