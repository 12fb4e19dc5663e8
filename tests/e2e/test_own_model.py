"""A model of one's own in three commands (init, build, deploy), as a new user would; and `serve`.

Diabetes: a regression with named columns and the label in the file. Digits: classes, from an array.
Tumours and flowers: XGBoost and LightGBM with their own files.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlship.ops.init import init_for_model

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

MLSHIP = [sys.executable, "-m", "mlship.cli.main"]
TRAIN = {
    "diabetes": """
import csv, joblib
from sklearn.datasets import load_diabetes
from sklearn.ensemble import RandomForestRegressor
data = load_diabetes()
joblib.dump(RandomForestRegressor(10, random_state=0).fit(data.data, data.target), "model.joblib")
with open("rows.csv", "w") as file:
    writer = csv.writer(file)
    writer.writerow([*data.feature_names, "progression"])
    writer.writerows([*row, target] for row, target in zip(data.data, data.target))
""",
    "digits": """
import joblib, numpy
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
data = load_digits()
model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(data.data, data.target)
joblib.dump(model, "model.joblib")
numpy.save("rows.npy", data.data[:100])
""",
    "tumours": """
import numpy, xgboost
from sklearn.datasets import load_breast_cancer
data = load_breast_cancer()
xgboost.XGBClassifier(n_estimators=10).fit(data.data, data.target).save_model("model.json")
rows, header = numpy.column_stack([data.data, data.target]), ",".join([*data.feature_names, "target"])
numpy.savetxt("rows.csv", rows, delimiter=",", header=header, comments="")
""",
    "flowers": """
import lightgbm, numpy
from sklearn.datasets import load_iris
data = load_iris()
model = lightgbm.LGBMClassifier(n_estimators=10, verbose=-1)
model.fit(data.data, data.target).booster_.save_model("model.txt")
numpy.savetxt("rows.csv", data.data, delimiter=",", header="a,b,c,d", comments="")
""",
}
EXAMPLES = {"digits": "rows.npy"}
MODELS = {"tumours": "model.json", "flowers": "model.txt"}

Mlship = Callable[..., Any]


@pytest.fixture(params=list(TRAIN))
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder with a model and rows, and the mlship.toml that init wrote for them."""
    subprocess.run([sys.executable, "-c", TRAIN[request.param]], cwd=tmp_path, check=True)
    model, rows = MODELS.get(request.param, "model.joblib"), EXAMPLES.get(request.param, "rows.csv")
    words = ["init", "--model", model, "--examples", rows]
    subprocess.run([*MLSHIP, *words], cwd=tmp_path, check=True, capture_output=True)
    return tmp_path


@pytest.fixture
def mlship(project: Path) -> Iterator[Mlship]:
    """`mlship("build")` in the project gives the envelope's result; the target is empty afterwards."""

    def run(*words: str) -> Any:
        done = subprocess.run([*MLSHIP, *words, "--json"], cwd=project, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)["result"]

    yield run
    run("destroy", "local", "--yes", "--purge")


def rows(project: Path) -> list[str]:
    """How the rows of the project are sent."""
    if (project / "rows.csv").exists():
        return ["--csv", "rows.csv"]
    digits = subprocess.run(
        [sys.executable, "-c", "import numpy, json; print(json.dumps(numpy.load('rows.npy')[:5].tolist()))"],
        cwd=project, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return ["--data", json.dumps({"instances": json.loads(digits.stdout)})]


def test_three_commands_to_an_answer(project: Path, mlship: Mlship) -> None:
    built = mlship("build")
    assert mlship("deploy", "local")["release"]["digest"] == built["digest"]
    answer = mlship("invoke", "local", *rows(project))
    assert answer["digest"] == built["digest"]
    predictions = answer["body"]["predictions"]
    if len(predictions) == 442:
        assert 25 < predictions[0][0] < 346
    elif (project / "rows.npy").exists():
        assert [row["label"] for row in predictions] == [0, 1, 2, 3, 4]
    else:
        assert (len(predictions), predictions[0]["label"]) in ((569, 0), (150, 0))
    assert mlship("build", "--locked")["digest"] == built["digest"]
    assert mlship("plan", "local", "--detailed-exitcode")["changes"] == 0
    assert mlship("deploy", "local")["changed"] is False


@pytest.mark.parametrize("project", ["digits"], indirect=True)
def test_serve_answers_until_it_is_interrupted(project: Path, mlship: Mlship) -> None:
    digest = mlship("build")["digest"]
    server = subprocess.Popen(
        [*MLSHIP, "serve", "--port", "0"], cwd=project, env={**os.environ, "COLUMNS": "200"}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert server.stderr is not None
    try:
        said = next(line for line in server.stderr if "answers at" in line)
        found = re.search(r"http://127\.0\.0\.1:\d+", said)
        assert found is not None
        with urllib.request.urlopen(f"{found[0]}/v2/health/ready", timeout=10) as answer:
            assert answer.headers["Mlship-Bundle"] == digest
        taken = subprocess.run(
            [*MLSHIP, "serve", "--port", found[0].rpartition(":")[2]],
            cwd=project,
            capture_output=True,
            text=True,
        )
        assert (taken.returncode, taken.stdout) == (6, "")
        assert taken.stderr.count("\n") == 1
        assert "another program listens there" in taken.stderr
    finally:
        os.killpg(server.pid, signal.SIGINT)  # as a terminal does it
        out, err = server.communicate(timeout=30)
    assert (server.returncode, out, err) == (0, "", "")


def test_every_kind_of_model_is_recognised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two named columns, given in the other order and with the label; LightGBM writes `_` for spaces."""
    monkeypatch.setenv("MLSHIP_PYTHON", sys.executable)
    monkeypatch.chdir(tmp_path)
    make = """
        import lightgbm, numpy, onnx, xgboost
        from onnx import TensorProto as T, helper
        rows = numpy.random.default_rng(0).normal(size=(60, 2))
        wanted, names = (rows[:, 0] > 0).astype(int), ["mean size", "age"]
        table = xgboost.DMatrix(rows, wanted, feature_names=names)
        xgboost.train({"objective": "binary:logistic", "nthread": 1}, table, 2).save_model("model.ubj")
        data = lightgbm.Dataset(rows, wanted, feature_name=["mean_size", "age"])
        lightgbm.train({"objective": "binary", "verbose": -1}, data, 2).save_model("model.txt")
        values = [helper.make_tensor_value_info(name, T.DOUBLE, [None, 1]) for name in [*names, "y"]]
        graph = helper.make_graph([helper.make_node("Add", names, ["y"])], "g", values[:2], values[2:])
        opsets = [helper.make_opsetid("", 18)]
        onnx.save_model(helper.make_model(graph, opset_imports=opsets, ir_version=8), "model.onnx")
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(make)], cwd=tmp_path, check=True)
    (tmp_path / "rows.csv").write_text("age,label,mean size\n1.5,0,2.5\n2.5,1,3.5\n")
    for file, kind, classes in (
        ("model.ubj", "xgboost.XGBClassifier", ("0", "1")),
        ("model.txt", "lightgbm.Booster", ("0", "1")),
        ("model.onnx", "an ONNX graph", ()),
    ):
        seen = init_for_model(
            Path(file + "-project"), model=tmp_path / file, examples=tmp_path / "rows.csv"
        ).seen
        assert seen is not None
        assert (seen.model, seen.classes, seen.left_out) == (kind, classes, ("label",))
        assert [column.name for column in seen.columns] == ["mean size", "age"]
