"""Real models on real data become bundles: converted, proved, recorded, and complete."""

from __future__ import annotations

import json
from pathlib import Path

import joblib
import numpy as np
import onnx
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_diabetes, load_digits, load_iris
from sklearn.ensemble import HistGradientBoostingClassifier, IsolationForest, RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC

from mlship.bundle.open import verify_bundle
from mlship_runtime.golden import compare

pytestmark = [pytest.mark.e2e, pytest.mark.builds]
TOML = '[model]\nsource = "model.joblib"\n[golden]\nfrom = "rows.csv"\n'


def write_csv(path: Path, names, rows) -> None:
    lines = [",".join(names), *(",".join(map(str, row)) for row in np.asarray(rows).tolist())]
    path.write_text("\n".join(lines) + "\n")


def shapes(specs):
    return {spec.name: (spec.datatype, spec.shape) for spec in specs}


def test_a_regressor_on_the_diabetes_data(project, build, opened) -> None:
    data = load_diabetes()
    root = project(TOML)
    model = RandomForestRegressor(20, random_state=0).fit(data.data, data.target)
    joblib.dump(model, root / "model.joblib")
    write_csv(root / "rows.csv", data.feature_names, data.data)
    built = build(root)
    assert shapes(built.spec.outputs) == {"prediction": ("FP32", (-1, 1))}
    assert built.spec.assemble == {"X": tuple(data.feature_names)}
    assert built.spec.reduction is None
    assert built.spec.parity["rows"] == len(data.data)
    assert built.manifest.layers[0].role == "model"
    bundle = opened(root, built)
    verify_bundle(bundle)
    golden = bundle.golden()
    inputs = np.stack([tensor["data"] for tensor in golden["inputs"]], 1)
    assert inputs.shape == (64, 10)
    (recorded,) = golden["outputs"]
    assert recorded["data"] == pytest.approx(list(model.predict(inputs)), rel=1e-4)


def test_digits_from_an_npy_file(project, build) -> None:
    data = load_digits()
    root = project('[model]\nsource = "model.joblib"\n[golden]\nfrom = "images.npy"\nrows = 256\n')
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
    joblib.dump(model.fit(data.data, data.target), root / "model.joblib")
    np.save(root / "images.npy", data.data)
    spec = build(root).spec
    assert shapes(spec.inputs) == {"X": ("FP64", (-1, 64))}
    assert shapes(spec.outputs) == {"label": ("INT64", (-1,)), "probabilities": ("FP32", (-1, 10))}
    assert [output.classes for output in spec.outputs] == [(), tuple("0123456789")]
    assert spec.golden["rows"] == 256


def test_text_labels_and_synthetic_examples(project, build, opened) -> None:
    data = load_iris()
    described = "".join(
        f'[schema.{name}]\ntype = "FP64"\nmin = {low}\nmax = {high}\n'
        for name, low, high in zip("abcd", data.data.min(0), data.data.max(0), strict=True)
    )
    root = project(f'[model]\nsource = "model.joblib"\n{described}')
    model = HistGradientBoostingClassifier(max_iter=20, random_state=0)
    joblib.dump(model.fit(data.data, data.target_names[data.target]), root / "model.joblib")
    built = build(root)
    assert shapes(built.spec.outputs)["label"] == ("BYTES", (-1,))
    assert built.spec.outputs[1].classes == tuple(data.target_names)
    assert built.spec.parity["rows"] == 256
    labels = opened(root, built).golden()["outputs"][0]
    assert set(labels["data"]) == set(data.target_names)


def test_columns_of_text_and_numbers(project, build) -> None:
    rng = np.random.default_rng(0)
    rows = np.stack(
        [rng.integers(18, 80, 200), rng.choice(["free", "pro"], 200), rng.normal(0, 1, 200).round(3)], 1
    ).astype(object)
    wanted = np.where((rows[:, 1] == "pro") ^ (rows[:, 2].astype(float) > 0), "stay", "go")
    columns = ColumnTransformer([("numbers", StandardScaler(), [0, 2]), ("plan", OneHotEncoder(), [1])])
    root = project(TOML)
    joblib.dump(make_pipeline(columns, LogisticRegression()).fit(rows, wanted), root / "model.joblib")
    write_csv(root / "rows.csv", ["age", "plan", "load"], rows)
    spec = build(root).spec
    assert shapes(spec.inputs) == {"age": ("INT64", (-1,)), "plan": ("BYTES", (-1,)), "load": ("FP64", (-1,))}
    assert spec.assemble == {"age": ("age",), "plan": ("plan",), "load": ("load",)}


@pytest.mark.parametrize("model", [LinearSVC(), IsolationForest(n_estimators=10, random_state=0)])
def test_labels_without_probabilities(project, build, model) -> None:
    data = load_iris()
    root = project(TOML)
    joblib.dump(model.fit(data.data, data.target), root / "model.joblib")
    write_csv(root / "rows.csv", "abcd", data.data)
    (output,) = build(root).spec.outputs
    assert (output.name, output.datatype) == ("label", "INT64")


def test_a_model_that_is_onnx_already(project, build, opened) -> None:
    root = project('[model]\nsource = "model.onnx"\n[golden]\nfrom = "rows.csv"\n')
    node = onnx.helper.make_node("ReduceSum", ["x", "axes"], ["total"], keepdims=1)
    graph = onnx.helper.make_graph(
        [node],
        "sum",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [None, 2])],
        [onnx.helper.make_tensor_value_info("total", onnx.TensorProto.FLOAT, [None, 1])],
        [onnx.helper.make_tensor("axes", onnx.TensorProto.INT64, [1], [1])],
    )
    opset = [onnx.helper.make_opsetid("", 18)]
    data = onnx.helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    (root / "model.onnx").write_bytes(data)
    (root / "rows.csv").write_text("a,b\n1,2\n3,4.5\n")
    built = build(root)
    bundle = opened(root, built)
    layer = built.manifest.layers[0]
    assert data in b"".join(bundle.blob(layer.digest))
    assert (built.spec.model["framework"], built.spec.parity["rows"]) == ("onnx", 0)
    golden = bundle.golden()
    assert golden["outputs"] == [{"name": "total", "datatype": "FP32", "shape": [2, 1], "data": [3.0, 7.5]}]
    assert compare(golden["outputs"], golden["outputs"], built.spec.tolerance).equal


def test_wheels_for_another_platform_are_resolved_here(project, build) -> None:
    data = load_iris()
    root = project(TOML + '[runtime]\nplatforms = ["linux/amd64", "linux/arm64"]\n')
    joblib.dump(LogisticRegression(max_iter=500).fit(data.data, data.target), root / "model.joblib")
    write_csv(root / "rows.csv", "abcd", data.data)
    built = build(root)
    found = {name.rpartition("-cp")[0]: part for name, part in built.spec.runtime["platforms"].items()}
    assert set(found) == {"linux-amd64", "linux-arm64"}
    versions = [{r["name"]: r["version"] for r in part["requirements"]} for part in found.values()]
    assert versions[0] == versions[1]
    assert {"numpy", "onnxruntime", "orjson", "msgspec", "httptools", "uvloop"} <= set(versions[0])
    assert len(built.manifest.platforms) == 2


def test_a_scaler_before_a_forest_needs_double_precision(project, build, opened) -> None:
    """In FP32 scaled values fall on other sides of the thresholds; the lock keeps what was found."""
    root = project(
        '[model]\nsource = "model:make"\n[golden]\nfrom = "rows.csv"\n',
        model=(
            "from sklearn.datasets import load_diabetes\n"
            "from sklearn.ensemble import RandomForestRegressor\n"
            "from sklearn.pipeline import make_pipeline\n"
            "from sklearn.preprocessing import StandardScaler\n"
            "def make():\n"
            "    x, y = load_diabetes(return_X_y=True)\n"
            "    forest = RandomForestRegressor(20, random_state=0)\n"
            "    return make_pipeline(StandardScaler(), forest).fit(x, y)\n"
        ),
    )
    data = load_diabetes()
    write_csv(root / "rows.csv", data.feature_names, data.data[:80])
    built = build(root)
    spec = opened(root, built).spec
    assert spec.parity["maxAbs"] < 1e-3
    assert json.loads((root / "mlship.lock").read_text())["model"]["precision"] == "FP64"
    assert build(root, locked=True).digest == built.digest
