"""export and import on a small bundle that was not built: what is written, taken, refused and shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sample_bundle import LINUX, MACOS, make_bundle

from mlship.registry import open_registry

TOML = '[project]\nname = "churn"\nversion = "1.0"\n[model]\nsource = "m"\n[registries.team]\nurl = "dir://./team"\n'


@pytest.fixture
def digest(tmp_path: Path, run) -> str:
    """A project with churn:1.0, its build."""
    (tmp_path / "mlship.toml").write_text(TOML)
    registry = open_registry(f"dir://{tmp_path}/.mlship/store")
    found = make_bundle(registry)
    registry.set_tag("churn", "1.0", found, None)
    return found


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digest: str) -> Path:
    """Another project, without a bundle, as the current folder."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "mlship.toml").write_text(TOML)
    return folder


def test_export_and_import(digest: str, run, tmp_path: Path, own_home: Path) -> None:
    ended = run("export", "churn:1.0", "churn.tar")
    assert (ended.code, ended.err) == (0, "exporting churn:1.0 ...\n")
    assert ended.out.splitlines()[:2] == ["churn:1.0 is in churn.tar", f"digest   {digest}"]
    result = run("export", "churn:1.0", "churn.tar", "--json").envelope["result"]
    assert result == {
        "reference": "churn:1.0",
        "digest": digest,
        "file": "churn.tar",
        "format": "bundle",
        "size": (tmp_path / "churn.tar").stat().st_size,
        "platforms": [LINUX, MACOS],
        "leftOut": [],
        "attachments": 0,
    }
    first = run("import", "churn.tar", "team", "--json").envelope["result"]
    assert (first["digest"], first["destination"]) == (digest, f"dir://{tmp_path}/team")
    assert (first["sentBlobs"], first["presentBlobs"], first["absent"]) == (8, 0, [])
    again = run("import", "churn.tar", "team", "--json").envelope["result"]
    assert (again["sentBlobs"], again["presentBlobs"]) == (0, 8)
    assert run("verify", "team/churn:1.0").out.startswith("churn:1.0 is whole: 7 files")


def test_outside_of_a_project_it_goes_to_the_default_registry(
    digest: str, run, tmp_path: Path, own_home: Path
) -> None:
    run("export", "churn:1.0", "churn.tar")
    (tmp_path / "mlship.toml").unlink()
    assert run("import", "churn.tar").out.splitlines()[0] == f"churn:1.0 is in dir://{own_home}/registry"
    assert run("verify", f"churn@{digest}").code == 0


def test_some_platforms(digest: str, run, elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = run("export", "churn:1.0", "some.tar", "--platform", "linux/amd64")
    assert ended.out.splitlines()[-2:] == [f"runs on   {LINUX}", "left out  runtime-macos.tar"]
    monkeypatch.chdir(elsewhere)
    refused = run("import", "../some.tar", "team")
    assert (refused.code, refused.out) == (2, "")
    assert run("import", "../some.tar").out.splitlines()[-1] == "absent         runtime-macos.tar"
    assert run("verify", "churn:1.0").out.startswith("churn:1.0 is right, without runtime-macos.tar: 6 files")
    inspected = run("inspect", "churn:1.0", "--json").envelope["result"]
    assert (inspected["digest"], inspected["absent"]) == (digest, ["runtime-macos.tar"])
    assert "\nabsent    runtime-macos.tar\n" in run("inspect", "churn:1.0").out
    pushed = run("push", "churn:1.0", "team")
    assert pushed.code == 5
    assert "it lacks runtime-macos.tar" in pushed.err
    assert run("diff", "churn:1.0", f"churn@{digest}").code == 0


def test_a_damaged_file_ends_with_4(digest: str, run, tmp_path: Path) -> None:
    run("export", "churn:1.0", "churn.tar")
    data = (tmp_path / "churn.tar").read_bytes()
    (tmp_path / "churn.tar").write_bytes(data.replace(b"a model", b"a MODEL"))
    ended = run("import", "churn.tar", "team")
    assert (ended.code, ended.out) == (4, "")
    assert "error: churn.tar cannot be imported: content of sha256:" in ended.err
    assert json.loads(run("list", "team", "--json").out)["result"]["bundles"] == []


def test_files_that_cannot_be_read_or_written_end_with_5(digest: str, run) -> None:
    ended = run("import", "nowhere.tar")
    assert (ended.code, ended.err) == (5, "error: nowhere.tar cannot be read: No such file or directory\n")
    ended = run("export", "churn:1.0", "nowhere/churn.tar")
    assert ended.code == 5
    assert ended.err.endswith("error: nowhere/churn.tar cannot be written: No such file or directory\n")


def test_an_import_moves_the_tag(digest: str, run, tmp_path: Path) -> None:
    registry = open_registry(f"dir://{tmp_path}/team")
    registry.set_tag("churn", "1.0", make_bundle(registry, model=b"another"), None)
    run("export", "churn:1.0", "churn.tar")
    assert run("import", "churn.tar", "team").code == 0
    assert run("inspect", "team/churn:1.0", "--json").envelope["result"]["digest"] == digest


def test_pull_of_some_platforms(digest: str, run, elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("push", "churn:1.0").code == 0
    monkeypatch.chdir(elsewhere)
    pulled = run("pull", "churn:1.0", "--platform", "linux/amd64", "--json").envelope["result"]
    assert (pulled["digest"], pulled["absent"]) == (digest, ["runtime-macos.tar"])
    assert (pulled["sentBlobs"], pulled["presentBlobs"]) == (7, 0)
    again = run("pull", "churn:1.0", "--platform", "linux/amd64")
    assert again.out.splitlines()[-1] == "absent         runtime-macos.tar"
    reference = f"dir://{elsewhere}/.mlship/store/churn:1.0"
    assert run("verify", reference).out.startswith("churn:1.0 is right, without runtime-macos.tar: 6 files")
    pushed = run("push", "churn:1.0", "team")
    assert (pushed.code, "it lacks runtime-macos.tar" in pushed.err) == (5, True)
    rest = run("pull", "churn:1.0", "--json").envelope["result"]
    assert (rest["sentBlobs"], rest["presentBlobs"], rest["absent"]) == (1, 7, [])
    assert run("verify", reference).out.startswith("churn:1.0 is whole: 7 files")
    assert run("push", "churn:1.0", "team").code == 0


def test_some_platforms_are_pulled_into_a_project_only(digest: str, run, tmp_path: Path) -> None:
    run("push", "churn:1.0", f"dir://{tmp_path}/team")
    unknown = run("pull", "churn:1.0", "team", "--platform", "linux/arm64")
    assert (unknown.code, "has no platform 'linux/arm64'" in unknown.err) == (2, True)
    (tmp_path / "mlship.toml").unlink()
    ended = run("pull", "churn:1.0", f"dir://{tmp_path}/team", "--platform", "linux/amd64")
    assert (ended.code, "can only be kept in a project" in ended.err) == (2, True)
    assert run("list").out.startswith("no bundles")
