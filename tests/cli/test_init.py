"""mlship init on the command line: pipelines for a project that is there, and words that are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sample_project import HEAD

from mlship.bundle.lock import Lock, LockedRuntime, lock_text

RUNTIME = LockedRuntime(
    mlship="0.1.0", ground_floor="sha256:0", python="3.11", requirements=(), trim=1, platforms={}
)


@pytest.fixture
def built(tmp_path: Path) -> Path:
    (tmp_path / "mlship.toml").write_text(HEAD + '[targets.prod]\ntype = "local"\n')
    (tmp_path / "mlship.lock").write_bytes(lock_text(Lock(runtime=RUNTIME)))
    return tmp_path


def test_a_pipeline_is_written_and_what_comes_next_is_said(run: Any, built: Path) -> None:
    ended = run("init", "--ci", "github", "--make")
    assert (ended.code, ended.err) == (0, "")
    assert "made in .: .github/workflows/mlship.yml, requirements-ci.txt, Makefile" in ended.out
    assert "environment  prod" in ended.out
    assert (
        "  git add --force .github/workflows/mlship.yml requirements-ci.txt Makefile mlship.lock" in ended.out
    )
    again = run("init", "--ci", "github", "--json").envelope["result"]
    assert (again["files"], again["same"]) == ([], [".github/workflows/mlship.yml", "requirements-ci.txt"])
    (built / "Makefile").write_text("mine:\n")
    refused = run("init", "--make", "--json")
    assert (refused.code, refused.envelope["error"]["kind"]) == (2, "usage")
    assert run("init", "--make", "--force").code == 0
    assert "TARGET ?= prod" in (built / "Makefile").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--force"], "--target and --force are about a pipeline"),
        (["--target", "prod"], "--target and --force are about a pipeline"),
        (["--ci", "github", "--model", "m", "--examples", "e"], "a pipeline is for a project that is built"),
        (["--ci", "travis"], "there is no pipeline 'travis'"),
        (["elsewhere", "--make"], "there is no mlship.toml in elsewhere"),
    ],
)
def test_words_that_do_not_go_together_are_refused(
    words: list[str], said: str, run: Any, built: Path
) -> None:
    before = sorted(built.rglob("*"))
    ended = run("init", *words)
    assert ended.code == 2
    assert said in ended.err
    assert sorted(built.rglob("*")) == before
