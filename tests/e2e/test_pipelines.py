"""What `mlship init --ci` and `--make` write is run: in order, by bash, on a repository with two commits, a
registry that asks who one is, and targets that are there.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from oci_double import PASSWORD, USER
from oci_servers import docker_registry
from pipeline_runners import Github, Gitlab, git, read_yaml

from mlship.bundle.build import build_bundle
from mlship.config import load_project
from mlship.ops.init_pipeline import add_pipeline
from mlship.registry import open_registry
from mlship.trust.private import generate_key

pytestmark = [pytest.mark.e2e, pytest.mark.builds, pytest.mark.timeout(1800)]

TOML = """
[project]
name = "loads"
version = "{version}"
[model]
source = "model:make"
[golden]
from = "rows.csv"
[trust]
keys = {{ release = "release.pub" }}
[registries.team]
url = "{registry}"
[targets.far]
type = "ssh"
require = ["signature"]
hosts = ["{host}"]
base = "{base}"
units = "none"
workers = 1
port = 0
[targets.near]
type = "local"
workers = 1
port = 0
"""
MODEL = """
import numpy as np
from sklearn.linear_model import LinearRegression


def make():
    x = np.arange(40.0).reshape(20, 2)
    return LinearRegression().fit(x, {slope} * x[:, 0] + x[:, 1])
"""
MLSHIP = [sys.executable, "-m", "mlship.cli.main"]


@dataclass
class Repository:
    """A project under git with two commits: the second has another model and the version 2.0."""

    root: Path
    key: Path
    commits: dict[str, str]
    digests: dict[str, str]
    server: Any

    def ask(self, *words: str) -> Any:
        """What mlship says here, as somebody whom registry and machine let in."""
        environment = {**os.environ, "DOCKER_CONFIG": str(self.root.parent / "docker")}
        command = (
            f'eval "$(ssh-agent -s)" >&2; trap "ssh-agent -k >&2" EXIT; ssh-add -q {self.server.key}; "$@"'
        )
        done = subprocess.run(
            ["bash", "-c", command, "sh", *MLSHIP, *words, "--json"],
            cwd=self.root, env=environment, capture_output=True, text=True, timeout=600,
        )  # fmt: skip
        return json.loads(done.stdout)["result"]

    def live(self, target: str) -> str:
        live = self.ask("status", f"{target}/loads")["live"]
        return str(live["digest"]) if live else ""

    def tags(self) -> dict[str, str]:
        found = self.ask("list", "team")["bundles"]
        return {tag: entry["digest"] for entry in found for tag in entry["tags"]}


@pytest.fixture(scope="module")
def repository(
    tmp_path_factory: pytest.TempPathFactory, require: Callable[[str], None], sshd: Any
) -> Iterator[Repository]:
    require("docker-registry")
    place = tmp_path_factory.mktemp("pipelines")
    root = place / "loads"
    root.mkdir()
    key = place / "release.key"
    (root / "release.pub").write_bytes(generate_key(key).pem)
    host = f"{sshd.user}@127.0.0.1:{sshd.port}"
    (root / "known_hosts").write_text(f"[127.0.0.1]:{sshd.port} {sshd.host_key}\n")
    (root / "rows.csv").write_text("a,b\n" + "".join(f"{n}.5,{n * 3}.25\n" for n in range(40)))
    (root / ".gitignore").write_text(".mlship/\n__pycache__/\nmlship.plan\n")
    git("init", "--quiet", "--initial-branch", "main", cwd=root)
    with docker_registry(place / "registry", "htpasswd") as registry:
        made = Repository(root, key, {}, {}, sshd)
        url = f"oci+http://{registry.host}/team"
        for version, slope in (("1.0", "2.0"), ("2.0", "3.0")):
            text = TOML.format(version=version, registry=url, host=host, base=place / "far")
            (root / "mlship.toml").write_text(text)
            (root / "model.py").write_text(MODEL.format(slope=slope))
            own = open_registry(f"dir://{root}/.mlship/store")
            made.digests[version] = build_bundle(load_project(root), own).digest
            if version == "1.0":
                add_pipeline(root, ci="github", target="far")
                add_pipeline(root, ci="gitlab", target="near")
                add_pipeline(root, make=True, target="near")
            git("add", "--all", cwd=root)
            git("commit", "--quiet", "--message", version, cwd=root)
            made.commits[version] = git("rev-parse", "HEAD", cwd=root)
        words = [*MLSHIP, "login", registry.host, "--username", USER, "--password-stdin"]
        environment = {**os.environ, "DOCKER_CONFIG": str(place / "docker")}
        subprocess.run(words, input=PASSWORD, env=environment, check=True, text=True, capture_output=True)
        yield made


@pytest.fixture
def cleared(
    repository: Repository, own_home: Path, running: Callable[[Path], dict[int, str]]
) -> Iterator[Repository]:
    """The repository; nothing of what was deployed runs on."""
    yield repository
    for target in ("far", "near"):
        repository.ask("destroy", f"{target}/loads", "--yes", "--purge")
    for place in (own_home, repository.root.parent / "far"):
        for number in running(place):
            os.kill(number, signal.SIGKILL)


def test_a_workflow_of_github_goes_its_way(cleared: Repository, tmp_path: Path) -> None:
    one, two = cleared.digests["1.0"], cleared.digests["2.0"]
    workflow = read_yaml((cleared.root / ".github/workflows/mlship.yml").read_text())
    runner = Github(cleared.root, tmp_path, variables={"REGISTRY_USER": USER})
    runner.secrets = {
        "REGISTRY_PASSWORD": PASSWORD,
        "MLSHIP_SIGNING_KEY": cleared.key.read_text(),
        "MLSHIP_SSH_KEY": cleared.server.key.read_text(),
    }
    onto_main = {"event_name": "push", "ref": "refs/heads/main", "ref_name": "main"}
    onto_main["event"] = {"repository": {"default_branch": "main"}}  # type: ignore[assignment]
    asking = {"event_name": "pull_request", "ref": "refs/pull/7/merge", "ref_name": "7/merge"}
    asking["event"] = {"number": 7, "pull_request": {"head": {"repo": {"fork": False}}}}  # type: ignore[assignment]

    def go(job: str, event: Any, version: str, **needs: Any) -> Any:
        return runner.run(workflow, job, event, cleared.commits[version], needs)

    bundle = go("bundle", onto_main, "1.0")
    assert (bundle.code, bundle.outputs) == (0, {"changes": "true"}), bundle
    titles = re.findall(r"^### mlship (.*)$", bundle.summary, re.MULTILINE)
    assert titles == ["build", "verify", "push", "plan"]
    deployed = go("deploy", onto_main, "1.0", bundle=bundle)
    assert deployed.code == 0, deployed
    assert "far runs release 1" in deployed.summary
    assert "| signature |" in deployed.summary
    assert cleared.live("far") == one
    (runner.kept / "plan-loads").rename(tmp_path / "old-plan")

    # What a branch builds is published beside, and moves nothing.
    asked = go("bundle", asking, "2.0")
    assert (asked.code, asked.outputs) == (0, {"changes": ""}), asked
    assert "plan failed" in asked.summary  # nobody has signed it
    assert cleared.tags() == {"1.0": one, "pr-7": two}
    assert go("deploy", asking, "2.0", bundle=asked) is None

    bundle = go("bundle", onto_main, "2.0")
    assert (bundle.code, bundle.outputs) == (0, {"changes": "true"}), bundle
    (runner.kept / "plan-loads").rename(tmp_path / "new-plan")
    (tmp_path / "old-plan").rename(runner.kept / "plan-loads")
    refused = go("deploy", onto_main, "2.0", bundle=bundle)
    assert refused.code == 6, refused
    assert "### mlship deploy failed\n\nExit code 6: the saved plan no longer fits" in refused.summary
    assert cleared.live("far") == one
    (runner.kept / "plan-loads").rename(tmp_path / "old-plan")
    (tmp_path / "new-plan").rename(runner.kept / "plan-loads")
    deployed = go("deploy", onto_main, "2.0", bundle=bundle)
    assert deployed.code == 0, deployed
    assert cleared.live("far") == cleared.tags()["2.0"] == two


def test_jobs_of_gitlab_go_their_way(cleared: Repository, tmp_path: Path) -> None:
    one, two = cleared.digests["1.0"], cleared.digests["2.0"]
    pipeline = read_yaml((cleared.root / ".gitlab-ci.yml").read_text())
    runner = Gitlab(cleared.root, tmp_path, variables={"REGISTRY_USER": USER})
    runner.secrets = {"REGISTRY_PASSWORD": PASSWORD}
    onto_main = {"CI_COMMIT_BRANCH": "main", "CI_DEFAULT_BRANCH": "main", "CI_PIPELINE_SOURCE": "push"}
    asking = {
        "CI_DEFAULT_BRANCH": "main",
        "CI_PIPELINE_SOURCE": "merge_request_event",
        "CI_MERGE_REQUEST_IID": "3",
    }

    def go(job: str, given: dict[str, str], version: str) -> Any:
        return runner.run(pipeline, f"loads:{job}", given, cleared.commits[version])

    for version, digest in (("1.0", one), ("2.0", two)):
        if version == "2.0":
            asked = go("bundle", asking, "2.0")
            assert asked.code == 0, asked
            assert cleared.tags()["mr-3"] == two
            assert go("deploy", asking, "2.0") is None
            assert cleared.live("near") == one
        bundle = go("bundle", onto_main, version)
        assert bundle.code == 0, bundle
        deployed = go("deploy", onto_main, version)
        assert deployed.code == 0, deployed
        assert "### mlship plan" in deployed.summary  # of the job before, to which it adds
        assert "### mlship deploy" in deployed.summary
        assert cleared.live("near") == digest
    refused = go("deploy", onto_main, "2.0")
    assert refused.code == 6, refused
