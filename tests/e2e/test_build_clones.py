"""From a model on real data to a proved release elsewhere: two clones build one digest; it goes in a file."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import skl2onnx
from lightgbm import LGBMRegressor
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.e2e.test_build_torch import NETWORK
from tests.e2e.test_build_torch import data as write_flowers
from xgboost import XGBClassifier

from mlship.cli.main import main

pytestmark = [pytest.mark.e2e, pytest.mark.builds]
Mlship = Callable[..., Any]


def sklearn(root: Path) -> str:
    data = load_breast_cancer()
    joblib.dump(
        make_pipeline(StandardScaler(), LogisticRegression()).fit(*data_of(data)), root / "model.joblib"
    )
    return write(root, "model.joblib", data)


def onnx(root: Path) -> str:
    data = load_wine()
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(*data_of(data))
    options = {id(model.steps[-1][1]): {"zipmap": False}}
    made = skl2onnx.to_onnx(model, data.data[:1].astype("f4"), options=options, target_opset=18)
    (root / "model.onnx").write_bytes(made.SerializeToString())
    return write(root, "model.onnx", data)


def mlflow(root: Path) -> str:
    data = load_diabetes()
    (root / "logged").mkdir()
    model = RandomForestRegressor(10, random_state=0).fit(*data_of(data))
    joblib.dump(model, root / "logged" / "model.pkl")
    inputs = json.dumps([{"type": "double", "name": name, "required": True} for name in data.feature_names])
    text = "flavors:\n  sklearn:\n    code: null\n    pickled_model: model.pkl\nsignature:\n"
    (root / "logged" / "MLmodel").write_text(f"{text}  inputs: '{inputs}'\n")
    return write(root, "logged", data)


def xgboost(root: Path) -> str:
    data = load_breast_cancer()
    XGBClassifier(n_estimators=20, random_state=0).fit(*data_of(data)).save_model(root / "model.json")
    return write(root, "model.json", data)


def lightgbm(root: Path) -> str:
    data = load_diabetes()
    model = LGBMRegressor(n_estimators=20, random_state=0, n_jobs=1, verbose=-1).fit(*data_of(data))
    model.booster_.save_model(root / "model.txt")
    return write(root, "model.txt", data)


def network(root: Path, python: Path) -> str:
    """Iris, by a network of PyTorch, which the project's interpreter has."""
    (root / "net.py").write_text(NETWORK)
    write_flowers(root)
    text = f'[project]\nname = "trial"\nversion = "1.0"\npython = "{python}"\n[model]\nsource = "net:make"\n'
    (root / "mlship.toml").write_text(text + '[golden]\nfrom = "rows.csv"\nrows = 32\n')
    return "net:make"


@pytest.fixture(params=[sklearn, onnx, mlflow, xgboost, lightgbm, network], ids=lambda train: train.__name__)
def train(request: pytest.FixtureRequest) -> Callable[[Path], str]:
    if request.param is network:
        return partial(network, python=request.getfixturevalue("torch_python"))
    return request.param  # type: ignore[no-any-return]


def data_of(data: Any) -> tuple[np.ndarray, np.ndarray]:
    return data.data, data.target


def write(root: Path, source: str, data: Any) -> str:
    names = ",".join(name.replace("/", " ") for name in data.feature_names)
    np.savetxt(root / "rows.csv", data.data, delimiter=",", header=names, comments="", fmt="%.9g")
    text = f'[project]\nname = "trial"\nversion = "1.0"\n[model]\nsource = "{source}"\n'
    (root / "mlship.toml").write_text(text + '[golden]\nfrom = "rows.csv"\nrows = 32\n')
    return source


@pytest.fixture
def mlship(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Mlship:
    """`mlship(folder, "build")` is the result of the command there."""

    def run(folder: Path, *words: str) -> Any:
        monkeypatch.chdir(folder)
        capfd.readouterr()
        code = main([*words, "--json"])
        said = capfd.readouterr()
        assert code == 0, said.out + said.err
        return json.loads(said.out)["result"]

    return run


def test_two_clones_one_digest_and_a_release_elsewhere(
    train: Callable[[Path], str], mlship: Mlship, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, clone, elsewhere = (tmp_path / name for name in ("first", "a clone", "elsewhere"))
    first.mkdir()
    train(first)
    built = mlship(first, "build")
    shutil.copytree(first, clone, ignore=shutil.ignore_patterns(".mlship"))
    before = os.umask(0o077)
    try:
        assert mlship(clone, "build", "--locked")["digest"] == built["digest"]
    finally:
        os.umask(before)
    files = [folder / "trial.tar" for folder in (first, clone)]
    for file in files:
        mlship(file.parent, "export", "trial:1.0", file.name)
    assert files[0].read_bytes() == files[1].read_bytes()
    elsewhere.mkdir()
    (elsewhere / "mlship.toml").write_text('[project]\nname = "trial"\n[model]\nsource = "elsewhere"\n')
    monkeypatch.setenv("MLSHIP_HOME", str(elsewhere / "home"))  # as on another machine
    assert mlship(elsewhere, "import", str(files[1]))["digest"] == built["digest"]
    assert mlship(elsewhere, "import", str(files[0]))["sentBlobs"] == 0
    assert mlship(elsewhere, "verify", "trial:1.0")["digest"] == built["digest"]
    try:
        deployed = mlship(elsewhere, "deploy", "local", "trial:1.0")
        assert deployed["release"]["digest"] == built["digest"]
        assert (deployed["proof"]["rows"], deployed["proof"]["differences"]) == (32, [])
    finally:
        mlship(elsewhere, "destroy", "local", "--yes", "--purge")
