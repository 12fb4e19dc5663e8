"""What MLflow and KitOps wrote becomes a project that builds; nothing is overwritten or left half done."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import joblib
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from mlship.cli.main import main
from mlship.config import load_project

pytestmark = pytest.mark.e2e
DATA = load_iris()
ROWS = "a,b,c,d\n" + "".join(",".join(map(str, row)) + "\n" for row in DATA.data.tolist())
KITFILE = """\
manifestVersion: 1.0.0
package:
  name: Iris of Fisher
  version: v2.1.0
  authors: [one, two]
code:
  - path: src
model:
  path: model/iris.joblib
datasets:
  - name: rows
    path: data/rows.csv
docs:
  - path: README.md
"""
MLMODEL = """\
flavors:
  sklearn:
    code: null
    pickled_model: model.pkl
saved_input_example_info:
  artifact_path: input_example.json
  pandas_orient: split
  type: dataframe
signature:
  inputs: '[{"type": "double", "name": "a", "required": true}, {"type": "double",
    "name": "b", "required": true}, {"type": "double", "name": "c", "required": true},
    {"type": "double", "name": "d", "required": true}]'
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def model() -> LogisticRegression:
    return LogisticRegression(max_iter=500).fit(DATA.data, DATA.target)


@pytest.fixture
def kit(here: Path, model: LogisticRegression) -> Path:
    folder = here / "kit"
    for name in ("model", "data", "src"):
        (folder / name).mkdir(parents=True)
    (folder / "Kitfile").write_text(KITFILE)
    joblib.dump(model, folder / "model" / "iris.joblib")
    (folder / "data" / "rows.csv").write_text(ROWS)
    return folder


@pytest.fixture
def logged(here: Path, model: LogisticRegression) -> Path:
    folder = here / "logged"
    folder.mkdir()
    (folder / "MLmodel").write_text(MLMODEL)
    joblib.dump(model, folder / "model.pkl")
    example = {"columns": list("abcd"), "data": DATA.data[::10].tolist()}
    (folder / "input_example.json").write_text(json.dumps(example))
    return folder


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_project_of_kitops(kit: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["import", "--from", "kit", "flowers", "--json"]) == 0
    result = json.loads(capfd.readouterr().out)["result"]
    assert result["copied"] == ["iris.joblib", "rows.csv"]
    assert result["leftOut"] == ["code src", "docs README.md"]
    assert result["seen"]["rows"] == 150
    assert files(Path("flowers")) == [".gitignore", "iris.joblib", "mlship.toml", "rows.csv"]
    project = load_project("flowers")
    assert str(project.reference) == "iris-of-fisher:2.1.0"
    assert main(["import", "--from", "kit", "flowers"]) == 2
    assert "flowers has a mlship.toml already" in capfd.readouterr().err
    shutil.rmtree(kit)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir("flowers")
        assert main(["build"]) == 0
    assert "decisions equal on 150 rows" in capfd.readouterr().out


def test_in_its_own_folder_nothing_is_copied(kit: Path, monkeypatch, capfd) -> None:
    monkeypatch.chdir(kit)
    assert main(["import", "--from", "."]) == 0
    said = capfd.readouterr().out
    assert said.splitlines()[0] == "not taken: code src, docs README.md"
    project = load_project(kit)
    assert (project.model.source, project.golden.source) == ("model/iris.joblib", "data/rows.csv")


def test_a_model_of_mlflow_with_an_input_example(logged: Path, capfd) -> None:
    assert main(["import", "--from", "logged", "flowers", "--json"]) == 0
    result = json.loads(capfd.readouterr().out)["result"]
    assert set(result["copied"]) == {
        "rows.csv",
        "logged/MLmodel",
        "logged/model.pkl",
        "logged/input_example.json",
    }
    project = load_project("flowers")
    assert (project.project.name, project.model.source) == ("flowers", "logged")
    assert Path("flowers/rows.csv").read_text().splitlines()[:2] == ["a,b,c,d", "5.1,3.5,1.4,0.2"]
    shutil.rmtree(logged)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir("flowers")
        assert main(["build"]) == 0
    assert "decisions equal on 15 rows" in capfd.readouterr().out


def test_nothing_stays_of_what_failed(kit: Path, logged: Path, here: Path, capfd) -> None:
    (kit / "model" / "iris.joblib").write_text("no model")
    assert main(["import", "--from", "kit", "flowers"]) == 2
    assert not (here / "flowers").exists()
    (logged / "input_example.json").write_text('{"columns": ["a"], "data": [[1, 2]]}')
    assert main(["import", "--from", "logged", "flowers"]) == 2
    assert "its rows do not fit its columns" in capfd.readouterr().err
    (here / "flowers").mkdir()
    (here / "flowers" / "rows.csv").write_text("mine")
    (logged / "input_example.json").write_text(json.dumps({"columns": ["a"], "data": [[1]]}))
    assert main(["import", "--from", "logged", "flowers"]) == 2
    assert files(here / "flowers") == ["rows.csv"]
    assert (here / "flowers" / "rows.csv").read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["import"], "import takes a FILE, or --from FOLDER"),
        (["import", "churn.tar", "--examples", "rows.csv"], "import takes a FILE, or --from FOLDER"),
        (["import", "--from", "kit", "flowers", "team"], "--from makes a project"),
        (
            ["import", "--from", "kit/src", "flowers"],
            "is neither a model of MLflow nor a project with a Kitfile",
        ),
        (["import", "--from", "kit", "flowers", "--examples", "gone.csv"], "gone.csv is not there"),
    ],
)
def test_wrong_words(kit: Path, words: list[str], said: str, capfd) -> None:
    assert main(words) == 2
    assert said in capfd.readouterr().err
    assert not Path("flowers").exists()


def test_rows_must_be_told_apart(kit: Path, capfd) -> None:
    text = (kit / "Kitfile").read_text()
    (kit / "data" / "more.csv").write_text(ROWS)
    (kit / "Kitfile").write_text(text.replace("docs:", "  - path: data/more.csv\ndocs:"))
    assert main(["import", "--from", "kit", "flowers"]) == 2
    assert "has 2 data sets that are rows (.csv, .npy). Say which: --examples FILE" in capfd.readouterr().err
    assert main(["import", "--from", "kit", "flowers", "--examples", "kit/data/more.csv"]) == 0
    assert "not taken: code src, docs README.md, datasets data/rows.csv" in capfd.readouterr().out


def test_links_are_not_followed(logged: Path, here: Path, capfd) -> None:
    (here / "secret").write_text("s")
    (logged / "extra").symlink_to("../secret")
    assert main(["import", "--from", "logged", "flowers"]) == 2
    assert "extra is a link" in capfd.readouterr().err
    assert not (here / "flowers").exists()
