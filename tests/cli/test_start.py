"""A start in a blink: what is not needed is not imported. (tests/bench/bench_start.py measures it.)"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    "rich",
    "msgspec",
    "numpy",
    "onnx",
    "onnxruntime",
    "skl2onnx",
    "sklearn",
    "uv",
    "tomllib",
    "asyncio",
    "ssl",
    "urllib3",
)


def imported(*words: str) -> set[str]:
    """The top-level packages that a run imports."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "mlship.cli.main", *words], capture_output=True, text=True
    )
    modules = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if "import time:" in line}
    assert "mlship.cli.group" in modules
    return modules | {name.partition(".")[0] for name in modules}


@pytest.mark.parametrize("words", [["--help"], ["--version"]])
def test_the_top_level_imports_nothing_heavy(words: list[str]) -> None:
    assert not imported(*words) & set(HEAVY)


@pytest.mark.parametrize("words", [["deploy", "--help"], ["list"], ["status"], ["invoke", "local"]])
def test_a_verb_imports_no_library_of_models(words: list[str]) -> None:
    found = imported(*words)
    assert not found & {
        "numpy",
        "onnx",
        "onnxruntime",
        "skl2onnx",
        "sklearn",
        "uv",
        "rich",
        "orjson",
        "httptools",
        "urllib3",
    }


def test_completion_reads_the_project_and_imports_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "mlship.toml").write_text(
        '[project]\nname = "churn"\nversion = "2.0"\n[registries.team]\nurl = "dir:///x"\n'
        '[targets.prod]\ntype = "local"\n[targets.local]\ntype = "local"\n'
    )
    assert complete("mlship deploy ", tmp_path) == ["local", "prod"]
    assert complete("mlship deploy p", tmp_path) == ["prod"]
    assert complete("mlship deploy prod ", tmp_path) == ["churn:2.0"]
    assert complete("mlship push churn:2.0 ", tmp_path) == ["default", "team"]
    assert "destroy" in complete("mlship de", tmp_path)
    (tmp_path / "mlship.toml").write_text("not toml [")
    assert complete("mlship deploy ", tmp_path) == ["local"]


def complete(line: str, folder: Path) -> list[str]:
    """What bash would be offered for the last word of `line`."""
    words = line.split()
    index = len(words) if line.endswith(" ") else len(words) - 1
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from mlship.cli.main import main; sys.exit(main())"],
        cwd=folder,
        env={**os.environ, "_MLSHIP_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(index)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split()
