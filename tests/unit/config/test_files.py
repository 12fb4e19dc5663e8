"""Files that mlship.toml names, the project's interpreter, and the user's folders and settings."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mlship.config import Project, cache_dir, check_files, data_dir, interpreter, parse_project
from mlship.config.settings import VARIABLES, default_registry_url
from mlship.errors import ConfigError

WHOLE = """\
[project]
name = "churn"
[model]
source = "model.joblib"
[reduction]
step = "steps.reduce:reduce"
include = ["tables/*.json"]
[golden]
from = "rows.csv"
"""
FILES = ("model.joblib", "steps/reduce.py", "tables/a.json", "rows.csv")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    for name in ("MLSHIP_PYTHON", "VIRTUAL_ENV"):
        monkeypatch.delenv(name, raising=False)
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return parse_project(WHOLE, root=tmp_path)


def test_a_whole_project_passes(project: Project) -> None:
    check_files(project)
    assert (project.root / "rows.csv").exists()


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ("model.joblib", "mlship.toml:4: model.source names 'model.joblib', which is not there"),
        ("steps/reduce.py", "mlship.toml:6: reduction.step needs steps/reduce.py, which is not there"),
        ("tables/a.json", "mlship.toml:7: reduction.include names 'tables/*.json', which matches no file"),
        ("rows.csv", "mlship.toml:9: golden.from names 'rows.csv', which is not there"),
    ],
)
def test_a_missing_file_is_named_with_its_line(project: Project, gone: str, message: str) -> None:
    (project.root / gone).unlink()
    with pytest.raises(ConfigError) as caught:
        check_files(project)
    assert str(caught.value).startswith(message)


def test_a_folder_is_no_file(project: Project) -> None:
    (project.root / "rows.csv").unlink()
    (project.root / "rows.csv").mkdir()
    with pytest.raises(ConfigError, match="not a file"):
        check_files(project)


def test_what_is_included_stays_inside_the_project(project: Project) -> None:
    outside = parse_project(WHOLE.replace("tables/*", "../*"), root=project.root)
    with pytest.raises(ConfigError, match="leaves the project's folder"):
        check_files(outside)


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o755)
    return path


def test_the_interpreter_is_the_nearest_one_named(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    own, active = program(project.root / "own/python"), program(project.root / "env/bin/python")
    assert interpreter(project) == Path(sys.executable)
    monkeypatch.setenv("VIRTUAL_ENV", str(project.root / "env"))
    assert interpreter(project) == active
    monkeypatch.setenv("MLSHIP_PYTHON", str(own))
    assert interpreter(project) == own
    named = parse_project(WHOLE.replace('"churn"', '"churn"\npython = "env/bin/python"'), root=project.root)
    assert interpreter(named) == active


def test_an_interpreter_that_is_none_is_refused(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    named = parse_project(WHOLE.replace('"churn"', '"churn"\npython = "rows.csv"'), root=project.root)
    with pytest.raises(ConfigError, match=r"^mlship.toml:3: project.python names 'rows.csv'"):
        check_files(named)
    monkeypatch.setenv("MLSHIP_PYTHON", "/nowhere/python")
    with pytest.raises(ConfigError, match="MLSHIP_PYTHON"):
        interpreter(project)


def test_the_users_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("MLSHIP_HOME", "MLSHIP_CACHE", "XDG_DATA_HOME", "XDG_CACHE_HOME", "MLSHIP_REGISTRY"):
        monkeypatch.delenv(name, raising=False)
    assert data_dir() == tmp_path / ".local/share/mlship"
    assert cache_dir() == tmp_path / ".cache/mlship"
    monkeypatch.setenv("XDG_DATA_HOME", "relative/is/ignored")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg/cache")
    assert data_dir() == tmp_path / ".local/share/mlship"
    assert cache_dir() == Path("/xdg/cache/mlship")
    monkeypatch.setenv("MLSHIP_HOME", str(tmp_path / "home"))
    assert data_dir() == tmp_path / "home"
    assert default_registry_url() == f"dir://{tmp_path}/home/registry"
    monkeypatch.setenv("MLSHIP_REGISTRY", "dir:///elsewhere")
    assert default_registry_url() == "dir:///elsewhere"


def test_every_setting_of_the_environment_is_on_the_list() -> None:
    sources = Path(__file__).parents[3] / "src" / "mlship"
    used = {
        word
        for file in [*sources.rglob("cli/*.py"), *sources.rglob("config/*.py")]
        for word in _words(file.read_text(encoding="utf-8"))
    }
    assert used == set(VARIABLES)


def _words(text: str) -> set[str]:
    import re

    return set(re.findall(r'"(MLSHIP_[A-Z0-9_]+)"', text))
