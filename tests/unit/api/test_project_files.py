"""A model in memory beside a mlship.toml that is there: what is written, kept, refused and put back."""

from __future__ import annotations

import functools
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mlship.api.objects import model_file
from mlship.api.project_files import ProjectFiles
from mlship.config.load import load_project
from mlship.errors import BuildError, ConfigError, UsageError
from mlship.progress import SILENT

TOML = """\
# mine
[project]
name = "churn"   # of the shop
version = "1.0"  # the tag
[model]
source = "model.pkl"
[golden]
from = "examples.csv"
"""
ROWS = [{"a": 1}, {"a": 2}]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "mlship.toml").write_text(TOML)
    return tmp_path


def settle(root: Path, **given: Any) -> Any:
    with ProjectFiles(root, SILENT, **given).settled(load_project(root)) as project:
        return project


def contents(root: Path) -> dict[str, bytes]:
    return {str(x.relative_to(root)): x.read_bytes() for x in sorted(root.rglob("*")) if x.is_file()}


def test_a_build_writes_and_the_next_one_replaces(root: Path) -> None:
    project = settle(root, model=[1], examples=ROWS)
    assert project.project.python == sys.executable
    assert pickle.loads((root / "model.pkl").read_bytes()) == [1]
    assert (root / "examples.csv").read_text() == "a\n1\n2\n"
    settle(root, model=[2])
    assert pickle.loads((root / "model.pkl").read_bytes()) == [2]
    assert (root / "mlship.toml").read_text() == TOML, "mlship.toml was touched"


def test_files_of_others_stay(root: Path) -> None:
    (root / "model.pkl").write_bytes(b"precious")
    before = contents(root)
    with pytest.raises(UsageError, match="the last build here did not write it"):
        settle(root, model=[1], examples=ROWS)
    assert contents(root) == before
    settle(root, model=[1], replace=True)
    (root / "model.pkl").write_bytes(b"precious again")
    with pytest.raises(UsageError, match="did not write it"):
        settle(root, model=[2])
    (root / "model.pkl").write_bytes(model_file([2])[1])
    settle(root, model=[2])  # the same bytes are no loss


def test_the_version_is_one_line(root: Path) -> None:
    assert settle(root, version="1.1").project.version == "1.1"
    assert (root / "mlship.toml").read_text() == TOML.replace('"1.0"', '"1.1"')
    (root / "mlship.toml").write_text(TOML.replace('version = "1.0"', "version = '1.0'"))
    with pytest.raises(ConfigError, match="does not say its version in one line"):
        settle(root, version="1.1")


HOSTILE = ['1"\nx', "a b", "$(id)", "`id`", "-x", "é", "x" * 200]


@pytest.mark.parametrize("version", HOSTILE)
def test_versions_that_are_none(root: Path, version: str) -> None:
    before = contents(root)
    with pytest.raises(UsageError):
        settle(root, version=version, model=[1])
    with pytest.raises(UsageError):
        settle(root, name=version, model=[1])
    assert contents(root) == before


def fail(files: ProjectFiles, root: Path) -> None:
    before = contents(root)
    with files.settled(load_project(root)):
        assert contents(root) != before
        raise BuildError("it cannot become a bundle")


def test_a_failed_build_puts_everything_back(root: Path) -> None:
    settle(root, model=[1], examples=ROWS)
    before = contents(root)
    files = ProjectFiles(root, SILENT, model=[2], examples=ROWS[:1], version="2.0")
    with pytest.raises(BuildError, match="cannot become"):
        fail(files, root)
    assert contents(root) == before
    settle(root, model=[3])  # it still knows that the files are its own


def test_what_mlship_toml_says_stands(root: Path) -> None:
    before = contents(root)
    for given, why in (
        ({"name": "other"}, "this project is called churn, not other"),
        ({"model": "other.joblib"}, r"has \[model\] source = 'model.pkl', and this would be other.joblib"),
        (
            {"examples": root / "rows.csv"},
            r"has \[golden\] from = 'examples.csv', and this would be rows.csv",
        ),
    ):
        with pytest.raises(UsageError, match=why):
            settle(root, **given)
    assert contents(root) == before
    settle(root, model=root / "model.pkl")  # by its path
    (root / "mlship.toml").write_text(TOML.replace('"churn"', '"churn"\npython = "/usr/bin/python3"'))
    assert settle(root, model=[1]).project.python == "/usr/bin/python3"


def test_a_new_project_needs_both(tmp_path: Path) -> None:
    for given in ({}, {"model": [1]}, {"examples": ROWS}):
        with (
            pytest.raises(UsageError, match="a new project needs a model and rows"),
            ProjectFiles(tmp_path, SILENT, **given).settled(None),
        ):
            pass
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_saved() -> None:
    with pytest.raises(BuildError, match="the generator cannot be saved: TypeError"):
        model_file(x for x in ())
    assert model_file(functools.partial(print, 1))[0] == ".pkl"


def test_what_only_the_script_has() -> None:
    """A class, an instance inside a list, a function: all that another process would look for in vain."""
    code = """
from mlship.api.objects import model_file
class Mine: pass
class Outer:
    class Inner: pass
def mine(): pass
for model in (Mine(), [Mine], {"x": mine}, Outer.Inner(), lambda: 1):
    try: model_file(model); print("saved")
    except Exception as error: print(str(error).partition(":")[0])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names = ("Mine", "Mine", "mine", "Outer.Inner", "<lambda>")
    assert done.stdout.splitlines() == [
        f"the model needs {name}, defined in this notebook or script" for name in names
    ]
