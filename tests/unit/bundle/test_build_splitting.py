"""A pipeline in two parts: which steps go where, and what each part becomes."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from mlship.bundle.children import estimator, splitting
from mlship.bundle.children.failure import Failure
from mlship.bundle.children.features import Features

DATA = load_iris()
STEPS = [("scale", StandardScaler()), ("turn", PCA(3)), ("decide", LogisticRegression(max_iter=500))]


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return Pipeline(STEPS).fit(DATA.data, DATA.target)


def features() -> Features:
    return Features(dict(zip("abcd", DATA.data.T, strict=True)), set())


@pytest.mark.parametrize(
    ("split", "names"), [(1, ["scale"]), ("scale", ["scale"]), ("turn", ["scale", "turn"])]
)
def test_a_split_is_a_number_of_steps_or_the_last_one(pipeline, split, names) -> None:
    before, rest, steps = splitting.divide(pipeline, split)
    assert [name for name, _ in before.steps] == steps == names
    left = [name for name, _ in STEPS[len(names) :]]
    assert ([name for name, _ in rest.steps] if len(left) > 1 else ["decide"]) == left


@pytest.mark.parametrize(
    ("split", "said"),
    [
        ("turns", "the pipeline has no step 'turns'"),
        (3, "no model is left when 3 of the 3 steps are split off"),
        ("decide", "no model is left when 3 of the 3 steps are split off"),
    ],
)
def test_splits_that_leave_no_model_or_no_step(pipeline, split, said) -> None:
    with pytest.raises(Failure, match=said) as caught:
        splitting.divide(pipeline, split)
    assert "scale, turn, decide" in caught.value.cause


@pytest.mark.parametrize("split", [1, 2])
@pytest.mark.parametrize("precision", ["FP32", "FP64"])
def test_both_graphs_one_after_the_other_answer_as_the_pipeline(pipeline, split, precision) -> None:
    made = estimator.convert(pipeline, features(), 18, precision, split)
    reducing, reduced = made["reduction"], made["reduced"]
    assert reducing["assemble"] == {"X": list("abcd")}
    assert (reduced.names, made["assemble"]) == (["features"], {"features": ["features"]})
    first, second = (
        onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
        for data in (reducing["graph"], made["graph"])
    )
    kind = {"FP32": np.float32, "FP64": np.float64}
    (values,) = first.run(["features"], {"X": DATA.data.astype(kind[precision])})
    assert values.dtype == reduced.columns["features"].dtype
    assert values.dtype == kind[precision if split == 1 else "FP32"]
    label, chances = second.run(made["outputs"], {"features": values})
    assert label.tolist() == pipeline.predict(DATA.data).tolist()
    assert np.allclose(chances, pipeline.predict_proba(DATA.data), atol=1e-5)
    versions = [
        {opset.domain: opset.version for opset in onnx.load_model_from_string(data).opset_import}
        for data in (reducing["graph"], made["graph"])
    ]
    assert versions[0] == versions[1]


def test_a_column_that_is_called_as_the_features_are_keeps_its_name(pipeline) -> None:
    columns = dict(zip(("features", "b", "c", "d"), DATA.data.T, strict=True))
    made = estimator.convert(pipeline, Features(columns, set()), 18, "FP32", 1)
    assert made["reduced"].names == ["reduced"]
    assert made["reduction"]["assemble"] == {"X": ["features", "b", "c", "d"]}


def test_steps_that_have_no_converter_are_named() -> None:
    model = Pipeline([("odd", FunctionTransformer(np.log1p)), STEPS[2]]).fit(DATA.data, DATA.target)
    with pytest.raises(Failure, match=r"^what is split off the pipeline cannot be converted to ONNX"):
        estimator.convert(model, features(), 18, "FP32", 1)


def test_texts_and_numbers_that_stay_side_by_side() -> None:
    rows = np.array([["a", 1.0], ["b", 2.0]] * 10, object)
    keep = ColumnTransformer([("scale", StandardScaler(), [1])], remainder="passthrough")
    code = ColumnTransformer([("code", OneHotEncoder(), [1])], remainder="passthrough")
    model = Pipeline([("keep", keep), ("code", code), STEPS[2]]).fit(rows, [0, 1] * 10)
    given = Features({"word": rows[:, 0], "number": rows[:, 1].astype(float)}, set())
    with pytest.raises(Failure, match="give texts and numbers side by side") as caught:
        estimator.convert(model, given, 18, "FP32", 1)
    assert caught.value.fix == "Split after the step that encodes the texts: [reduction] split"
