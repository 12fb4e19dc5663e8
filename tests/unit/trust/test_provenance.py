"""Provenance is of one bundle, by a trusted key, and never taken for a signature of the bundle."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sample_signing import Signer, sample

from mlship.bundle.audit.materials import clean_commit, materials_of
from mlship.bundle.open import OpenBundle
from mlship.config import Project, load_project
from mlship.errors import BundleError
from mlship.trust.provenance import predicate, read_provenance, read_record, record_file, write_statement
from mlship_runtime.bundle import canonical
from mlship_runtime.errors import InvalidBundle
from mlship_runtime.trust.signature import verify_signature

SIGNER, OTHER = Signer(31), Signer(32)
MATERIALS = [
    {"name": "source", "digest": {"gitCommit": "ab" * 20}},
    {"name": "rows.csv", "digest": {"sha256": "cd" * 32}},
]
SAID = predicate(MATERIALS, mlship="1.2.3", locked=True)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> OpenBundle:
    return sample(tmp_path_factory.mktemp("bundle"))


def test_what_was_said_is_read(bundle: OpenBundle) -> None:
    read = read_provenance(SIGNER.envelope(write_statement(bundle.digest, SAID)), [SIGNER.key], bundle.digest)
    assert (read.key, read.commit, read.mlship) == (SIGNER.key, "ab" * 20, "1.2.3")
    assert read.materials == {"rows.csv": "cd" * 32}
    unclean = predicate(MATERIALS[1:], mlship="1.2.3", locked=False)
    envelope = SIGNER.envelope(write_statement(bundle.digest, unclean))
    assert read_provenance(envelope, [SIGNER.key], bundle.digest).commit == ""


def test_the_two_kinds_of_statement_are_not_mixed_up(bundle: OpenBundle) -> None:
    provenance = SIGNER.envelope(write_statement(bundle.digest, SAID))
    with pytest.raises(InvalidBundle, match="predicateType"):
        verify_signature(provenance, [SIGNER.key], bundle.manifest_bytes, bundle.spec)
    with pytest.raises(InvalidBundle, match="predicateType"):
        read_provenance(SIGNER.sign(bundle), [SIGNER.key], bundle.digest)


def test_another_key_and_another_bundle_are_refused(bundle: OpenBundle) -> None:
    envelope = SIGNER.envelope(write_statement(bundle.digest, SAID))
    with pytest.raises(InvalidBundle, match="another key"):
        read_provenance(envelope, [OTHER.key], bundle.digest)
    with pytest.raises(InvalidBundle, match="of another bundle"):
        read_provenance(envelope, [SIGNER.key], "sha256:" + "0" * 64)


CHANGES: dict[str, Callable[[Any], Any]] = {
    "two subjects": lambda s: s["subject"].append(s["subject"][0]),
    "no subject": lambda s: s.update(subject=[]),
    "another kind of build": lambda s: s["predicate"]["buildDefinition"].update(buildType="urn:else"),
    "another builder": lambda s: s["predicate"]["runDetails"]["builder"].update(id="urn:else"),
    "a material without a name": lambda s: s["predicate"]["buildDefinition"].update(
        resolvedDependencies=[{"digest": {}}]
    ),
    "a key more": lambda s: s.update(more=1),
}


@pytest.mark.parametrize("name", CHANGES)
def test_other_statements_are_refused(bundle: OpenBundle, name: str) -> None:
    statement = json.loads(write_statement(bundle.digest, SAID))
    CHANGES[name](statement)
    with pytest.raises(InvalidBundle):
        read_provenance(SIGNER.envelope(canonical.encode(statement)), [SIGNER.key], bundle.digest)


def test_records_are_kept_by_digest(tmp_path: Path) -> None:
    digest = "sha256:" + "1" * 64
    assert read_record(tmp_path, digest) is None
    file = record_file(tmp_path, digest)
    file.parent.mkdir()
    file.write_bytes(canonical.encode(SAID))
    assert read_record(tmp_path, digest) == SAID
    file.write_bytes(b"{")
    with pytest.raises(BundleError, match="cannot be read"):
        read_record(tmp_path, digest)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project in a repository of its own, committed."""
    root = tmp_path / "project"
    root.mkdir()
    (root / "mlship.toml").write_text(
        '[project]\nname = "churn"\n[model]\nsource = "m.joblib"\n[golden]\nfrom = "rows.csv"\n'
    )
    (root / "m.joblib").write_bytes(b"a model")
    (root / "rows.csv").write_text("a\n1\n")
    (root / ".gitignore").write_text(".mlship/\n")
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "first")
    return load_project(root)


def git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_commit_counts_only_if_nothing_differs(project: Project) -> None:
    commit = git(project.root, "rev-parse", "HEAD")
    project.state.mkdir()
    (project.state / "ignored").touch()
    assert clean_commit(project.root) == commit
    (project.root / "new.py").touch()
    assert clean_commit(project.root) == ""
    (project.root / "new.py").unlink()
    (project.root / "rows.csv").write_text("a\n2\n")
    assert clean_commit(project.root) == ""
    git(project.root, "add", "-A")
    assert clean_commit(project.root) == ""


def test_no_repository_and_no_git_are_no_commit(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert clean_commit(tmp_path) == ""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert clean_commit(project.root) == ""


def test_materials_are_what_the_project_names(project: Project) -> None:
    found = {part["name"]: part["digest"] for part in materials_of(project)}
    assert found == {
        "source": {"gitCommit": git(project.root, "rev-parse", "HEAD")},
        "mlship.toml": {"sha256": sha256((project.root / "mlship.toml").read_bytes()).hexdigest()},
        "m.joblib": {"sha256": sha256(b"a model").hexdigest()},
        "rows.csv": {"sha256": sha256(b"a\n1\n").hexdigest()},
    }
