"""A model that ONNX has no form for is packed as it is, served in Python, recorded, and can be forbidden."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from skops import io as skops_io

from mlship.bundle.models.named_globals import named_in_pickle
from mlship.bundle.open import verify_bundle
from mlship.cli.main import main
from mlship.errors import BuildError
from mlship_runtime.model.permitted import PLAIN

pytestmark = [pytest.mark.e2e, pytest.mark.builds]
STEPS = """
import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin, TransformerMixin
from limits import LOW

class Clip(TransformerMixin, BaseEstimator):
    def __init__(self, high=1.0):
        self.high = high

    def fit(self, rows, wanted=None):
        self.seen_ = np.shape(rows)[1]
        return self

    def transform(self, rows):
        return np.clip(np.asarray(rows, float), LOW, self.high)

class Nearest(RegressorMixin, BaseEstimator):
    def fit(self, rows, wanted):
        self.rows_, self.wanted_ = np.asarray(rows), np.asarray(wanted)
        return self

    def predict(self, rows):
        distances = ((np.asarray(rows)[:, None] - self.rows_[None]) ** 2).sum(2)
        return self.wanted_[distances.argmin(1)]
"""
DATA = load_iris()
LABELS = DATA.target_names[DATA.target]
Make = Callable[..., Path]


@pytest.fixture
def steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The project's module as this process has it, to train with."""
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "steps.py").write_text(STEPS)
    (tmp_path / "training" / "limits.py").write_text("LOW = 0.5\n")
    monkeypatch.syspath_prepend(tmp_path / "training")
    import steps

    yield steps
    for name in ("steps", "limits"):
        __import__("sys").modules.pop(name)


@pytest.fixture
def unconverted(project, steps) -> Make:
    """`unconverted(model, form)`: a project with the model's file, its modules, and all names allowed."""

    def make(
        model: object, form: str, *, rows: str = "rows.csv", more: str = "", folder: str = "project"
    ) -> Path:
        root = project("", folder=folder, steps=STEPS, limits="LOW = 0.5\n")
        file = root / f"model.{form}"
        write = {"joblib": joblib.dump, "skops": skops_io.dump}[form]
        write(model, file)
        if form == "skops":
            names = skops_io.get_untrusted_types(file=file)
        else:
            names = sorted(set(named_in_pickle(file.name, file.read_bytes())) - PLAIN)
        text = (root / "mlship.toml").read_text()
        text += f'[model]\nsource = "{file.name}"\nengine = "python"\nallow_globals = {json.dumps(names)}\n'
        (root / "mlship.toml").write_text(text + f'[golden]\nfrom = "{rows}"\n{more}')
        names = ",".join("abcd")
        np.savetxt(root / "rows.csv", DATA.data, delimiter=",", header=names, comments="", fmt="%.1f")
        return root

    return make


@pytest.mark.parametrize("form", ["joblib", "skops"])
def test_every_form_and_twice_the_same(
    unconverted: Make, steps, build, opened, form: str, tmp_path: Path
) -> None:
    model = make_pipeline(steps.Clip(6.0), RandomForestClassifier(5, random_state=0)).fit(DATA.data, LABELS)
    root = unconverted(model, form)
    built = build(root, allow_pickle=True)
    spec = built.spec
    assert (spec.engine, spec.form) == ("python", "skops" if form == "skops" else "pickle")
    assert built.manifest.annotations["vnd.mlship.model"] == spec.form
    assert "steps.Clip" in spec.model["globals"]
    assert [(o.name, o.datatype, o.shape) for o in spec.outputs] == [
        ("label", "BYTES", (-1,)),
        ("probabilities", "FP64", (-1, 3)),
    ]
    assert spec.outputs[1].classes == tuple(DATA.target_names)
    assert spec.parity["rows"] == 150
    assert spec.parity["maxAbs"] == 0
    files = {entry.path for entry in spec.files[built.manifest.layers[0].digest]}
    assert files == {f"model/model.{spec.form}", "model/code/steps.py", "model/code/limits.py"}
    (runtime,) = spec.runtime["platforms"].values()
    locked = {each["name"]: each["version"] for each in runtime["requirements"]}
    assert locked["scikit-learn"] == __import__("sklearn").__version__
    assert locked["numpy"] == np.__version__
    assert "onnxruntime" not in locked
    bundle = opened(root, built)
    verify_bundle(bundle)
    golden = bundle.golden()
    inputs = np.stack([tensor["data"] for tensor in golden["inputs"]], 1)
    assert golden["outputs"][0]["data"] == list(model.predict(inputs))
    assert golden["outputs"][1]["data"] == model.predict_proba(inputs).ravel().tolist()
    if form == "skops":
        return
    clone = tmp_path / "a clone"
    shutil.copytree(root, clone, ignore=shutil.ignore_patterns(".mlship", "__pycache__"))
    assert build(clone, locked=True, allow_pickle=True).digest == built.digest


def test_without_the_flag_nothing_is_loaded(unconverted: Make, steps, build) -> None:
    root = unconverted(
        make_pipeline(steps.Clip(6.0), RandomForestClassifier(2)).fit(DATA.data, LABELS), "joblib"
    )
    (root / "steps.py").write_text("raise SystemExit('loaded')\n")
    with pytest.raises(BuildError, match="mlship build --allow-pickle"):
        build(root)
    assert not (root / "mlship.lock").exists()
    with pytest.raises(BuildError, match=r"needs steps\.Clip"):
        build(root, allow_pickle=True)


def test_types_that_skops_does_not_trust_are_named(unconverted: Make, steps, build) -> None:
    root = unconverted(
        make_pipeline(steps.Clip(6.0), RandomForestClassifier(2)).fit(DATA.data, LABELS), "skops"
    )
    text = (root / "mlship.toml").read_text()
    (root / "mlship.toml").write_text(text.replace(', "steps.Clip"', ""))
    with pytest.raises(
        BuildError, match=r"allow_globals does not list: steps\.Clip; .*_tree\.Tree\", \"steps"
    ):
        build(root, allow_pickle=True)


def test_an_estimator_of_ones_own_behind_a_reduction(unconverted: Make, steps, build, opened) -> None:
    data = load_diabetes()
    root = unconverted(
        steps.Nearest().fit(np.round(data.data[:100, :3] * 10, 3), data.target[:100]),
        "joblib",
        more='[reduction]\nstep = "reduce:reduce"\n',
    )
    code = "import numpy as np\ndef reduce(columns):\n"
    code += "    return {'X': np.round(np.stack([columns[n] for n in 'abc'], 1) * 10, 3)}\n"
    (root / "reduce.py").write_text(code)
    np.savetxt(root / "rows.csv", data.data[:60, :3], delimiter=",", header="a,b,c", comments="")
    built = build(root, allow_pickle=True)
    assert [(o.name, o.datatype, o.shape) for o in built.spec.outputs] == [("prediction", "FP64", (-1, 1))]
    assert built.spec.model["framework"] == "sklearn"
    golden = opened(root, built).golden()
    assert sorted(golden["outputs"][0]["data"]) == sorted(data.target[:60])


def test_texts_without_pandas(unconverted: Make, steps, build, opened) -> None:
    plans = np.array([["free", "pro", "team"][row % 3] for row in range(150)], dtype=object)
    table = np.column_stack([plans, DATA.data[:, 2].astype(object)])
    encoder = ColumnTransformer([("plan", OneHotEncoder(), [0]), ("length", steps.Clip(5.0), [1])])
    model = make_pipeline(encoder, RandomForestClassifier(5, random_state=0)).fit(table, DATA.target)
    root = unconverted(model, "joblib")
    lines = ["plan,length", *(f"{plan},{length}" for plan, length in table)]
    (root / "rows.csv").write_text("\n".join(lines) + "\n")
    built = build(root, allow_pickle=True)
    assert built.spec.model["reads"] == "matrix"
    assert [(i.name, i.datatype) for i in built.spec.inputs] == [("plan", "BYTES"), ("length", "FP64")]
    golden = opened(root, built).golden()
    rows = np.column_stack([np.array(tensor["data"], object) for tensor in golden["inputs"]])
    assert golden["outputs"][0]["data"] == model.predict(rows).tolist()


def test_a_target_can_forbid_it(unconverted: Make, steps, monkeypatch, capfd) -> None:
    """From the command line: what inspect shows, and exit 9 in plan and deploy before anything is there."""
    model = make_pipeline(steps.Clip(6.0), RandomForestClassifier(5, random_state=0)).fit(DATA.data, LABELS)
    targets = '[targets.strict]\ntype = "local"\nforbid = ["pickle"]\n[targets.onnx]\ntype = "local"\n'
    root = unconverted(model, "joblib", more=targets + 'forbid = ["python"]\n')
    monkeypatch.chdir(root)
    assert main(["build"]) == 4
    assert main(["build", "--allow-pickle", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["result"]["model"] == "pickle"
    assert main(["inspect", "--json"]) == 0
    shown = json.loads(capfd.readouterr().out)["result"]
    assert (shown["engine"], shown["model"]) == ("python", "pickle")
    assert "steps.Clip" in shown["globals"]
    assert main(["inspect"]) == 0
    assert "a pickle file, which runs what it names" in capfd.readouterr().out
    for target in ("strict", "onnx"):
        for verb in ("plan", "deploy"):
            assert main([verb, target]) == 9
            assert "forbids p" in capfd.readouterr().err
        assert main(["status", target, "--json"]) == 0
        status = json.loads(capfd.readouterr().out)["result"]
        assert not status["releases"]
    for form in ("onnx", "mlflow"):
        assert main(["export", "trial:1.0", "out", "--format", form]) == 2
        assert "no ONNX graph" in capfd.readouterr().err
    assert main(["deploy", "local"]) == 0
    capfd.readouterr()
    try:
        assert main(["invoke", "local", "--csv", "rows.csv", "--json"]) == 0
        answer = capfd.readouterr().out
        assert "setosa" in answer
        assert "virginica" in answer
    finally:
        assert main(["destroy", "local", "--yes"]) == 0
