"""Models of XGBoost and LightGBM on real data become bundles: however saved, whatever they answer."""

from __future__ import annotations

import json
from pathlib import Path

import joblib
import lightgbm
import numpy as np
import pytest
import xgboost
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mlship.bundle.open import verify_bundle
from mlship.errors import BuildError

pytestmark = [pytest.mark.e2e, pytest.mark.builds]
DATA = {"two": load_breast_cancer, "three": load_iris, "number": load_diabetes}
CLASSIFIERS = {"xgboost": xgboost.XGBClassifier, "lightgbm": lightgbm.LGBMClassifier}
REGRESSORS = {"xgboost": xgboost.XGBRegressor, "lightgbm": lightgbm.LGBMRegressor}


def trained(package: str, task: str, *, missing: bool = False, **settings):
    """An estimator with the rows and targets of its training."""
    rows, wanted = DATA[task](return_X_y=True)
    if missing:
        rows = np.where(np.random.default_rng(0).random(rows.shape) < 0.1, np.nan, rows)
    kinds = REGRESSORS if task == "number" else CLASSIFIERS
    if package == "lightgbm":
        settings = {"verbose": -1, **settings}
    model = kinds[package](n_estimators=12, n_jobs=1, random_state=0, **settings)
    return model.fit(rows, wanted), rows, wanted


def write(root: Path, model, rows, file: str) -> None:
    if file == "model.joblib":
        joblib.dump(model, root / file)
    elif isinstance(model, lightgbm.LGBMModel):
        model.booster_.save_model(root / file)
    else:
        model.save_model(root / file)
    names = ",".join(f"c{number}" for number in range(rows.shape[1]))
    lines = [",".join("" if value != value else repr(value) for value in row) for row in rows[:150].tolist()]
    (root / "rows.csv").write_text("\n".join([names, *lines]) + "\n")


def toml(file: str) -> str:
    return f'[model]\nsource = "{file}"\n[golden]\nfrom = "rows.csv"\n'


def shapes(spec):
    return {output.name: (output.datatype, output.shape) for output in spec.outputs}


ANSWERS = {
    "two": {"label": ("INT64", (-1,)), "probabilities": ("FP32", (-1, 2))},
    "three": {"label": ("INT64", (-1,)), "probabilities": ("FP32", (-1, 3))},
    "number": {"prediction": ("FP32", (-1, 1))},
}


@pytest.mark.parametrize(
    ("package", "file", "task"),
    [
        ("xgboost", "model.json", "two"),
        ("xgboost", "model.ubj", "three"),
        ("xgboost", "model.joblib", "number"),
        ("lightgbm", "model.txt", "two"),
        ("lightgbm", "model.txt", "three"),
        ("lightgbm", "model.txt", "number"),
        ("lightgbm", "model.joblib", "two"),
        ("lightgbm", "model.joblib", "number"),
    ],
)
def test_every_kind_of_answer_from_every_kind_of_file(project, build, opened, package, file, task) -> None:
    root = project(toml(file))
    model, rows, _ = trained(package, task)
    write(root, model, rows, file)
    built = build(root)
    assert shapes(built.spec) == ANSWERS[task]
    assert (built.spec.model["framework"], built.spec.parity["rows"]) == (package, 150)
    assert {package, "onnxmltools"} <= set(built.spec.model["converter"])
    verify_bundle(opened(root, built))
    golden = opened(root, built).golden()
    inputs = np.stack([tensor["data"] for tensor in golden["inputs"]], 1)
    assert golden["outputs"][0]["data"] == pytest.approx(list(model.predict(inputs)), rel=1e-4)


@pytest.mark.parametrize(("package", "file"), [("xgboost", "model.json"), ("lightgbm", "model.joblib")])
def test_two_folders_give_one_digest(project, build, package, file) -> None:
    """The second has no lock: it finds out everything anew, in processes of its own."""
    digests = set()
    for folder in ("one", "other"):
        root = project(toml(file), folder=folder)
        model, rows, _ = trained(package, "three")
        write(root, model, rows, file)
        digests.add(build(root).digest)
    assert len(digests) == 1


@pytest.mark.parametrize("package", ["xgboost", "lightgbm"])
def test_missing_values_stay_missing(project, build, opened, package) -> None:
    root = project(toml("model.joblib"))
    model, rows, _ = trained(package, "two", missing=True)
    write(root, model, rows, "model.joblib")
    built = build(root)
    assert all(column.nullable for column in built.spec.inputs)
    inputs = opened(root, built).golden()["inputs"]
    assert any(value is None for tensor in inputs for value in tensor["data"])


@pytest.mark.parametrize("package", ["xgboost", "lightgbm"])
def test_a_booster_at_the_end_of_a_pipeline(project, build, package) -> None:
    """Its scaler computes in double precision, for a threshold may lie between two scaled values."""
    root = project(toml("model.joblib"))
    model, rows, wanted = trained(package, "two")
    write(root, make_pipeline(StandardScaler(), model).fit(rows, wanted), rows, "model.joblib")
    spec = build(root).spec
    assert (spec.model["framework"], shapes(spec)) == ("sklearn", ANSWERS["two"])
    assert {package, "scikit-learn"} <= set(spec.model["converter"])


def test_labels_of_text(project, build, opened) -> None:
    root = project(toml("model.joblib"))
    data = load_iris()
    model = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1, n_jobs=1)
    write(root, model.fit(data.data, data.target_names[data.target]), data.data, "model.joblib")
    built = build(root)
    assert set(opened(root, built).golden()["outputs"][0]["data"]) == set(data.target_names)


def test_names_choose_the_columns(project, build) -> None:
    """XGBoost keeps the names of the features in its file, LightGBM with `_` for spaces."""
    rows, wanted = load_breast_cancer(return_X_y=True)
    names = ["mean radius", "other", "mean area"]
    table = xgboost.DMatrix(rows[:, :3], wanted, feature_names=names)
    booster = xgboost.train({"objective": "binary:logistic", "nthread": 1}, table, 5)
    small = lightgbm.Dataset(rows[:, :3], wanted, feature_name=["mean_radius", "other", "mean_area"])
    light = lightgbm.train({"objective": "binary", "verbose": -1, "num_threads": 1}, small, 5)
    for folder, model, file in (("x", booster, "m.ubj"), ("l", light, "m.txt")):
        root = project(toml(file), folder=folder)
        model.save_model(root / file)
        lines = [",".join(map(repr, row)) for row in rows[:100, [2, 0, 1]].tolist()]
        (root / "rows.csv").write_text("\n".join(["mean area,mean radius,other", *lines]) + "\n")
        assert build(root).spec.assemble == {"X": tuple(names)}


def test_a_bare_booster_of_classes_answers_with_probabilities(project, build) -> None:
    root = project(
        '[model]\nsource = "model:make"\n[golden]\nfrom = "rows.csv"\n',
        model=(
            "import xgboost\nfrom sklearn.datasets import load_iris\n"
            "def make():\n"
            "    table = xgboost.DMatrix(*load_iris(return_X_y=True))\n"
            "    return xgboost.train({'objective': 'multi:softmax', 'num_class': 3}, table, 5)\n"
        ),
    )
    write(root, *trained("xgboost", "three")[:2], "unused.json")
    assert shapes(build(root).spec) == ANSWERS["three"]


def test_a_model_that_stopped_early_answers_with_its_best_trees(project, build, opened) -> None:
    rows, wanted = load_diabetes(return_X_y=True)
    model = xgboost.XGBRegressor(n_estimators=60, early_stopping_rounds=3, n_jobs=1)
    model.fit(rows[:300], wanted[:300], eval_set=[(rows[300:], wanted[300:])], verbose=False)
    assert model.best_iteration + 1 < model.get_booster().num_boosted_rounds()
    root = project(toml("model.json"))
    write(root, model, rows, "model.json")
    built = build(root)
    golden = opened(root, built).golden()
    inputs = np.stack([tensor["data"] for tensor in golden["inputs"]], 1)
    assert golden["outputs"][0]["data"] == pytest.approx(list(model.predict(inputs)), rel=1e-4)


def refused(build, root: Path) -> str:
    with pytest.raises(BuildError) as caught:
        build(root)
    assert not (root / "mlship.lock").exists()
    return str(caught.value)


def test_what_the_converter_does_not_know_is_refused(project, build) -> None:
    root = project(toml("model.joblib"))
    rows, wanted = load_diabetes(return_X_y=True)
    model = xgboost.XGBRegressor(booster="gblinear", n_jobs=1, n_estimators=3).fit(rows, wanted)
    write(root, model, rows, "model.joblib")
    assert "a gblinear booster of XGBoost, which cannot be converted" in refused(build, root)
    (root / "model.json").write_text(json.dumps({"learner": "nothing"}))
    (root / "mlship.toml").write_text((root / "mlship.toml").read_text().replace(".joblib", ".json"))
    assert "model.json is not a model that XGBoost can read" in refused(build, root)


def test_what_is_converted_wrongly_is_refused_with_rows_and_errors(project, build) -> None:
    """onnxmltools takes zero for present where LightGBM was told that it means missing."""
    root = project(toml("model.joblib"))
    rows, wanted = load_breast_cancer(return_X_y=True)
    rows = np.where(np.random.default_rng(0).random(rows.shape) < 0.2, 0.0, rows)
    model = lightgbm.LGBMClassifier(n_estimators=12, zero_as_missing=True, verbose=-1, n_jobs=1)
    write(root, model.fit(rows, wanted), rows, "model.joblib")
    said = refused(build, root)
    assert "the ONNX model decides otherwise than the original in " in said
    assert " of 150 rows (" in said
