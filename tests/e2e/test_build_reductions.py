"""Reductions that are ONNX graphs: files, or steps split off a pipeline, fused or not."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from mlship.bundle.open import verify_bundle
from mlship.errors import BuildError

pytestmark = [pytest.mark.e2e, pytest.mark.builds]


def passengers(*, missing: bool) -> tuple[np.ndarray, np.ndarray]:
    """Rows of age, which may be missing, sex, port, fare; and who survived."""
    rng = np.random.default_rng(0)
    count = 240
    age = rng.integers(1, 80, count).astype(float)
    sex, port = rng.choice(["female", "male"], count), rng.choice(["C", "Q", "S"], count)
    fare = rng.gamma(2, 15, count).round(2)
    survived = np.where((sex == "female") ^ ((age < 10) & (fare > 20)), "yes", "no")
    age[::17] = np.nan if missing else 30
    return np.stack([age.astype(object), sex.astype(object), port.astype(object), fare], 1), survived


def write(root: Path, rows: np.ndarray) -> None:
    lines = [",".join("" if value != value else str(value) for value in row) for row in rows.tolist()]
    (root / "rows.csv").write_text("\n".join(["age,sex,port,fare", *lines]) + "\n")


def fitted(numbers, last, *, missing: bool = False):
    prepare = ColumnTransformer(
        [("numbers", numbers, [0, 3]), ("words", OneHotEncoder(handle_unknown="ignore"), [1, 2])]
    )
    rows, wanted = passengers(missing=missing)
    return make_pipeline(prepare, last).fit(rows, wanted), rows


SPLIT = '[model]\nsource = "model.joblib"\n[reduction]\nsplit = {split}\n[golden]\nfrom = "rows.csv"\n'


PIPELINES = {
    "imputed and scaled": (make_pipeline(SimpleImputer(), StandardScaler()), LogisticRegression(), True),
    "in double precision": (StandardScaler(), RandomForestClassifier(20, random_state=0), False),
}


@pytest.mark.parametrize(("numbers", "last", "missing"), PIPELINES.values(), ids=PIPELINES)
def test_the_steps_before_the_model_become_its_reduction(
    project, build, opened, numbers, last, missing
) -> None:
    model, rows = fitted(numbers, last, missing=missing)
    root = project(SPLIT.format(split='"columntransformer"'))
    joblib.dump(model, root / "model.joblib")
    write(root, rows)
    built = build(root)
    spec = built.spec
    assert [layer.role for layer in built.manifest.layers[:2]] == ["model", "reduction"]
    assert (spec.reduction["kind"], spec.reduction["steps"]) == ("onnx", ["columntransformer"])
    assert (spec.reduction["fused"], "apart" in spec.reduction) == (True, False)
    assert [(t.name, t.datatype) for t in spec.inputs] == [
        ("age", "FP64"), ("sex", "BYTES"), ("port", "BYTES"), ("fare", "FP64"),
    ]  # fmt: skip
    (reduced,) = spec.reduced
    assert (reduced.name, reduced.datatype, reduced.shape) == ("features", "FP32", (-1, 7))
    assert spec.parity["rows"] == len(rows)
    assert [t.seen.values for t in spec.inputs if t.datatype == "BYTES"] == [
        ("female", "male"),
        ("C", "Q", "S"),
    ]
    assert (spec.inputs[3].seen.low, spec.inputs[3].seen.high) == (rows[:, 3].min(), rows[:, 3].max())
    assert spec.outputs[0].seen.values == ("no", "yes")
    assert -1e-6 < spec.outputs[1].seen.low < spec.outputs[1].seen.high <= 1.0001
    assert reduced.seen.high > 1
    bundle = opened(root, built)
    verify_bundle(bundle)
    golden = bundle.golden()
    inputs = np.stack([np.array(t["data"], object) for t in golden["inputs"]], 1)
    inputs[:, 0] = np.array([np.nan if value is None else value for value in inputs[:, 0]])
    assert golden["outputs"][0]["data"] == model.predict(inputs).tolist()
    assert build(root, locked=True).digest == built.digest


GRAPH = '[model]\nsource = "{model}"\n[reduction]\ngraph = "reduce.onnx"\n{more}[golden]\nfrom = "rows.csv"\n'
FLOAT, DOUBLE, WHOLE, TEXT = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64, TensorProto.STRING


def save(path: Path, nodes, inputs, outputs, *, opset: int = 18) -> None:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(*each) for each in inputs],
        [helper.make_tensor_value_info(*each) for each in outputs],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save_model(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)


def encoder(path: Path, *, given: int = FLOAT, name: str = "features", **options) -> None:
    """amount [rows] and plan [rows] -> amount and the plan's number, [rows, 2]."""
    save(
        path,
        [
            helper.make_node(
                "LabelEncoder", ["plan"], ["number"], domain="ai.onnx.ml",
                keys_strings=["free", "pro"], values_int64s=[0, 1], default_int64=-1,
            ),
            helper.make_node("Cast", ["number"], ["coded"], to=given),
            helper.make_node("Cast", ["amount"], ["plain"], to=given),
            helper.make_node("Constant", [], ["axis"], value_ints=[1]),
            helper.make_node("Unsqueeze", ["coded", "axis"], ["one"]),
            helper.make_node("Unsqueeze", ["plain", "axis"], ["two"]),
            helper.make_node("Concat", ["two", "one"], [name], axis=1),
        ],
        [("amount", DOUBLE, [None]), ("plan", TEXT, [None])],
        [(name, given, [None, 2])],
        **options,
    )  # fmt: skip


def orders(root: Path) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    amount, plan = rng.integers(1, 90, 60), rng.choice(["free", "pro"], 60)
    lines = [f"{plan},{amount}" for plan, amount in zip(plan, amount, strict=True)]
    (root / "rows.csv").write_text("\n".join(["plan,amount", *lines]) + "\n")
    return np.stack([amount, plan == "pro"], 1).astype(np.float32), np.where(amount > 40, "large", "small")


def test_a_graph_before_a_scikit_learn_model(project, build, opened) -> None:
    root = project(GRAPH.format(model="model.joblib", more=""))
    features, sizes = orders(root)
    encoder(root / "reduce.onnx", opset=17)
    model = LogisticRegression(max_iter=500).fit(features, sizes)
    joblib.dump(model, root / "model.joblib")
    built = build(root)
    spec = built.spec
    # The graph's inputs say what the columns are, and in which order: whole numbers in the file are FP64.
    assert [(t.name, t.datatype) for t in spec.inputs] == [("amount", "FP64"), ("plan", "BYTES")]
    assert [(t.name, t.datatype, t.shape) for t in spec.reduced] == [("features", "FP32", (-1, 2))]
    assert spec.reduction["assemble"] == {"amount": ["amount"], "plan": ["plan"]}
    assert (spec.reduction["fused"], spec.parity["rows"]) == (True, 60)
    bundle = opened(root, built)
    verify_bundle(bundle)
    layer = next(layer for layer in built.manifest.layers if layer.role == "reduction")
    assert (root / "reduce.onnx").read_bytes() in b"".join(bundle.blob(layer.digest))
    assert bundle.golden()["outputs"][0]["data"] == model.predict(features).tolist()
    assert build(root, locked=True).digest == built.digest


def summing(path: Path, *, reads: str = "features", opset: int = 18) -> None:
    nodes = [
        helper.make_node("Constant", [], ["axis"], value_ints=[1]),
        helper.make_node("ReduceSum", [reads, "axis"], ["total"], keepdims=1),
    ]
    save(path, nodes, [(reads, FLOAT, [None, 2])], [("total", FLOAT, [None, 1])], opset=opset)


APART = {
    "the reduction has opset 17, the model 18": ({"opset": 17}, ""),
    "the model reads 'features' as FP32, the reduction gives FP64": ({"given": DOUBLE}, ""),
    "mlship.toml says fuse = false": ({}, "fuse = false\n"),
    "": ({}, ""),
}


@pytest.mark.parametrize("why", APART)
def test_two_graphs_answer_alike_fused_or_apart(project, build, opened, why: str) -> None:
    made, more = APART[why]
    root = project(GRAPH.format(model="model.onnx", more=more))
    features, _ = orders(root)
    encoder(root / "reduce.onnx", **made)
    summing(root / "model.onnx")
    built = build(root)
    assert (built.spec.reduction["fused"], built.spec.reduction.get("apart", "")) == (not why, why)
    (total,) = opened(root, built).golden()["outputs"]
    assert total["data"] == features.sum(1).tolist()


def test_a_model_in_shards_is_fused_with_its_reduction(project, build, opened) -> None:
    root = project(GRAPH.format(model="model.onnx", more=""))
    features, _ = orders(root)
    encoder(root / "reduce.onnx")
    weights = np.ones((2, 4096), np.float32)
    nodes = [helper.make_node("MatMul", ["features", "w"], ["wide"])]
    nodes.append(helper.make_node("ReduceMean", ["wide", "axis"], ["total"], keepdims=1))
    save(root / "model.onnx", nodes, [("features", FLOAT, [None, 2])], [("total", FLOAT, [None, 1])])
    graph = onnx.load_model(root / "model.onnx")
    for name, array in (("w", weights), ("axis", np.array([1]))):
        graph.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    onnx.save_model(graph, root / "model.onnx")
    built = build(root, shard_bytes=8192)
    assert [layer.role for layer in built.manifest.layers[:3]] == ["model", "model", "reduction"]
    assert built.spec.reduction["fused"] is True
    (total,) = opened(root, built).golden()["outputs"]
    assert total["data"] == pytest.approx(features.sum(1).tolist())


def test_a_graph_that_does_not_give_what_the_model_reads(project, build) -> None:
    root = project(GRAPH.format(model="model.joblib", more=""))
    features, sizes = orders(root)
    encoder(root / "reduce.onnx")
    joblib.dump(LogisticRegression().fit(features[:, [0, 1, 1]], sizes), root / "model.joblib")
    with pytest.raises(BuildError, match=r"the reduction returned 'features' of shape \[60, 2\], the model"):
        build(root)
    joblib.dump(LogisticRegression().fit(features, sizes), root / "model.joblib")
    save(
        root / "reduce.onnx",
        [helper.make_node("ReduceMax", ["amount"], ["features"], keepdims=1)],
        [("amount", FLOAT, [None])],
        [("features", FLOAT, [1])],
    )
    with pytest.raises(BuildError, match=r"the reduction gives 'features' of shape \[1\] for 60 rows"):
        build(root)
    largest = helper.make_node("ReduceMax", ["amount"], ["largest"], keepdims=1)
    share = helper.make_node("Div", ["amount", "largest"], ["features"])
    save(
        root / "reduce.onnx",
        [largest, share],
        [("amount", FLOAT, [None])],
        [("features", FLOAT, [None])],
    )
    with pytest.raises(BuildError, match="something else for row 30 alone than among all rows: features"):
        build(root)


def test_a_graph_is_looked_at_before_any_library_opens_it(project, build, tmp_path: Path) -> None:
    root = project(GRAPH.format(model="model.onnx", more=""))
    orders(root)
    summing(root / "model.onnx")
    weight = onnx.TensorProto(name="w", data_type=FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    weight.external_data.add(key="location", value="../secret")
    (tmp_path / "secret").write_bytes(bytes(4))
    nodes = [helper.make_node("Add", ["amount", "w"], ["features"])]
    save(root / "reduce.onnx", nodes, [("amount", FLOAT, [None])], [("features", FLOAT, [None])])
    graph = onnx.load_model(root / "reduce.onnx")
    graph.graph.initializer.append(weight)
    (root / "reduce.onnx").write_bytes(graph.SerializeToString())
    with pytest.raises(BuildError, match=r"toml:7: the tensor 'w' names '[./]+secret', which may leave"):
        build(root)
    (root / "reduce.onnx").write_bytes(b"no graph")
    with pytest.raises(BuildError, match=r"toml:7: reduce[.]onnx is not an ONNX model"):
        build(root)


def test_a_split_needs_a_pipeline(project, build) -> None:
    model, rows = fitted(StandardScaler(), LogisticRegression())
    root = project(SPLIT.format(split="1"))
    write(root, rows)
    joblib.dump(model[-1], root / "model.joblib")
    with pytest.raises(BuildError, match="the model is a LogisticRegression, which has no steps to split"):
        build(root)
    (root / "mlship.toml").write_text((root / "mlship.toml").read_text().replace(".joblib", ".onnx"))
    summing(root / "model.onnx")
    with pytest.raises(BuildError, match="the model is an ONNX graph, which has no steps to split off"):
        build(root)


@pytest.mark.timeout(300)
def test_a_split_pipeline_in_two_clones_and_on_a_target(project, tmp_path: Path) -> None:
    model, rows = fitted(make_pipeline(SimpleImputer(), StandardScaler()), LogisticRegression(), missing=True)
    root = project(SPLIT.format(split="1"))
    joblib.dump(model, root / "model.joblib")
    write(root, rows)
    clone = shutil.copytree(root, tmp_path / "clone")

    def mlship(*words: str, folder: Path = root) -> Any:
        command = [sys.executable, "-m", "mlship.cli.main", *words, "--json"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)["result"]

    digest = mlship("build")["digest"]
    assert mlship("build", folder=clone)["digest"] == digest
    try:
        assert mlship("deploy", "local")["release"]["digest"] == digest
        answer = mlship("invoke", "local", "--csv", "rows.csv")
        labels = [row["label"] for row in answer["body"]["predictions"]]
        assert (answer["digest"], labels) == (digest, model.predict(rows).tolist())
    finally:
        mlship("destroy", "local", "--yes", "--purge")
    mlship("export", "trial:1.0", "whole.onnx", "--format", "onnx")
    session = onnxruntime.InferenceSession(root / "whole.onnx", providers=["CPUExecutionProvider"])
    given = zip(["age", "sex", "port", "fare"], rows.T, strict=True)
    feed = {name: column[:, None] for name, column in given}
    feed |= {name: feed[name].astype(np.float32) for name in ("age", "fare")}
    assert session.run(["label"], feed)[0].tolist() == labels
