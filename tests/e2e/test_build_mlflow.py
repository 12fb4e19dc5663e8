"""Folders as MLflow writes them become bundles, without MLflow: every flavor, and what the signature says."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import lightgbm
import numpy as np
import onnx
import pytest
import skl2onnx
import xgboost
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from skops import io

from mlship.bundle.models.mlflow import read_folder
from mlship.errors import BuildError
from mlship.ops.init import init_for_model

NAMES = ["petal length", "petal width", "sepal length", "sepal width"]
TOML = '[model]\nsource = "logged"\n[golden]\nfrom = "rows.csv"\n'


def log(root: Path, flavor: str, said: dict[str, str], *, inputs: object = None) -> Path:
    """`root`/logged with an MLmodel as MLflow 3 writes it."""
    folder = root / "logged"
    folder.mkdir(parents=True, exist_ok=True)
    lines = "".join(f"    {key}: {value}\n" for key, value in {"code": "null", **said}.items())
    text = f"flavors:\n  {flavor}:\n{lines}  python_function:\n    env:\n      conda: conda.yaml\n"
    text += "    python_version: 3.11.7\nmlflow_version: 3.17.2\nmodel_id: null\n"
    if inputs is not None:
        folded = textwrap.wrap(f"inputs: '{json.dumps(inputs)}'", 78, break_long_words=False)
        text += "signature:\n  " + "\n    ".join(folded) + "\n  params: null\n"
    (folder / "MLmodel").write_text(text + "utc_time_created: '2026-11-21 15:58:30.685933'\n")
    return folder


def signature(kind: str = "double") -> list[dict[str, object]]:
    return [{"type": kind, "name": name, "required": True} for name in NAMES]


def iris() -> tuple[np.ndarray, np.ndarray]:
    data = load_iris()
    return data.data[:, [2, 3, 0, 1]], data.target


def write_rows(root: Path) -> None:
    """The columns in another order, and the label among them."""
    data = load_iris()
    names = ["sepal length", "sepal width", "species", "petal length", "petal width"]
    rows = np.column_stack([data.data[:, :2], data.target, data.data[:, 2:]]).tolist()
    (root / "rows.csv").write_text(
        "\n".join([",".join(names), *(",".join(map(str, r)) for r in rows)]) + "\n"
    )


def save(flavor: str, root: Path) -> None:
    rows, wanted = iris()
    if flavor == "xgboost":
        folder = log(root, flavor, {"data": "model.ubj", "model_class": "x"}, inputs=signature())
        xgboost.XGBClassifier(n_estimators=5, n_jobs=1).fit(rows, wanted).save_model(folder / "model.ubj")
    elif flavor == "lightgbm":
        folder = log(root, flavor, {"data": "model.lgb"}, inputs=signature())
        settings = {"objective": "multiclass", "num_class": 3, "verbose": -1, "num_threads": 1}
        lightgbm.train(settings, lightgbm.Dataset(rows, wanted), 5).save_model(folder / "model.lgb")
    else:
        model = LogisticRegression(max_iter=500).fit(rows, wanted)
        if flavor == "sklearn":
            folder = log(root, flavor, {"pickled_model": "model.skops"}, inputs=signature())
            io.dump(model, folder / "model.skops")
        else:
            folder = log(root, flavor, {"data": "model.onnx"}, inputs=signature("float"))
            made = skl2onnx.to_onnx(model, rows[:1].astype("f4"), options={"zipmap": False}, target_opset=18)
            onnx.save_model(made, folder / "model.onnx")


@pytest.mark.e2e
@pytest.mark.parametrize("flavor", ["sklearn", "xgboost", "lightgbm", "onnx"])
def test_every_flavor(project, build, opened, flavor: str) -> None:
    root = project(TOML)
    save(flavor, root)
    write_rows(root)
    built = build(root)
    assert built.spec.model["framework"] == flavor
    kind = "FP32" if flavor == "onnx" else "FP64"
    assert [(column.name, column.datatype) for column in built.spec.inputs] == [(n, kind) for n in NAMES]
    golden = opened(root, built).golden()
    inputs = np.stack([tensor["data"] for tensor in golden["inputs"]], 1)
    rows, wanted = iris()
    nearest = [int(np.abs(rows - row).sum(1).argmin()) for row in inputs]
    assert np.mean(np.asarray(golden["outputs"][0]["data"]) == wanted[nearest]) > 0.9
    assert build(root, locked=True).digest == built.digest


@pytest.mark.e2e
def test_init_recognises_a_folder(tmp_path: Path) -> None:
    save("xgboost", tmp_path)
    write_rows(tmp_path)
    started = init_for_model(tmp_path, model=tmp_path / "logged", examples=tmp_path / "rows.csv")
    assert started.seen is not None
    assert started.seen.model == "xgboost.XGBClassifier"
    assert [column.name for column in started.seen.columns] == NAMES
    assert started.seen.left_out == ("species",)
    assert 'source = "logged"' in (tmp_path / "mlship.toml").read_text()


def test_the_signature_names_columns_and_types(tmp_path: Path) -> None:
    inputs = [
        {"type": "long", "name": "age", "required": True},
        {"type": "string", "name": "plan", "required": False},
        {"type": "datetime", "name": "since", "required": True},
    ]
    folder = log(tmp_path, "sklearn", {"pickled_model": "model.pkl"}, inputs=inputs)
    (folder / "model.pkl").write_bytes(b"x")
    found = read_folder(folder)
    assert found.flavor == "sklearn"
    assert found.file == folder / "model.pkl"
    said = {name: (column.type, column.nullable) for name, column in found.columns.items()}
    assert said == {"age": ("INT64", None), "plan": ("BYTES", True), "since": (None, None)}
    arrays = [{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 4]}}]
    assert read_folder(log(tmp_path, "sklearn", {"pickled_model": "model.pkl"}, inputs=arrays)).columns == {}


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "deep/../../secret", "link", "", "nowhere", "deep", "..\\secret"]
)
def test_files_outside_of_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_text("s")
    folder = log(tmp_path, "sklearn", {"pickled_model": name})
    (folder / "deep").mkdir()
    (folder / "link").symlink_to("../secret")
    with pytest.raises(BuildError, match="logged/MLmodel names "):
        read_folder(folder)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("flavors:\n  pytorch:\n    model_data: data\n", "names 'data', which is not a file that is known"),
        (
            "flavors:\n  sklearn:\n    pickled_model: MLmodel\n    code: ../elsewhere\n",
            "'../elsewhere', which is not in",
        ),
        ("flavors: !!python/object:os.system\n", "cannot be read: line 1"),
        ("- a\n", "names no flavors"),
        ("flavors:\n  spacy:\n    data: x\n", "of the flavor spacy"),
        (
            "flavors:\n  sklearn:\n    pickled_model: MLmodel\nsignature:\n  inputs: '[1'\n",
            "a signature that",
        ),
    ],
)
def test_what_mlflow_did_not_write_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "logged" / "data").mkdir(parents=True)
    (tmp_path / "logged" / "MLmodel").write_text(text)
    with pytest.raises(BuildError) as caught:
        read_folder(tmp_path / "logged")
    assert said in str(caught.value)
