"""Bad input to a build: one line that says what, why and what to do; exit code 4; nothing published."""

from __future__ import annotations

import pickle
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_iris
from sklearn.linear_model import LinearRegression, LogisticRegression

from mlship.errors import BuildError, ConfigError

pytestmark = [pytest.mark.e2e, pytest.mark.builds]
TOML = '[model]\nsource = "model.joblib"\n[golden]\nfrom = "rows.csv"\n'
STEP = '[reduction]\nstep = "step:reduce"\n'
PLAIN = "import numpy as np\ndef reduce(c):\n    return {'X': np.stack([c[n] for n in 'abcd'], 1)}\n"


class Homemade(ClassifierMixin, BaseEstimator):
    """An estimator that no converter knows."""

    def fit(self, rows, wanted):
        self.classes_ = np.unique(wanted)
        return self

    def predict(self, rows):
        return np.zeros(len(rows), int)

    def predict_proba(self, rows):
        return np.tile([1.0, 0.0, 0.0], (len(rows), 1))


@pytest.fixture
def iris(project):
    """A project that would build: `iris(toml, step=…)`."""

    def make(toml: str = TOML, **modules: str) -> Path:
        root = project(toml, **modules)
        data = load_iris()
        joblib.dump(LogisticRegression(max_iter=500).fit(data.data, data.target), root / "model.joblib")
        lines = ["a,b,c,d", *(",".join(map(repr, row)) for row in data.data.tolist())]
        (root / "rows.csv").write_text("\n".join(lines) + "\n")
        return root

    return make


@pytest.fixture
def refused(build):
    """The one line with which a build is refused; the registry and the lock must be untouched."""

    def run(root: Path, *said: str) -> str:
        with pytest.raises(BuildError) as caught:
            build(root)
        text = str(caught.value)
        for part in said:
            assert part in text
        assert "\n" not in text
        assert caught.value.exit_code == 4
        assert not (root / "mlship.lock").exists()
        assert not (root / ".mlship" / "store").exists()
        return text

    return run


def test_a_model_file_that_is_not_there(iris, refused) -> None:
    root = iris()
    (root / "model.joblib").unlink()
    refused(root, "model.joblib is not there", "Train the model first")


@pytest.mark.parametrize("content", [b"", b"not a pickle at all", b"\x80\x04broken"])
def test_a_model_file_that_is_broken(iris, refused, content: bytes) -> None:
    root = iris()
    (root / "model.joblib").write_bytes(content)
    refused(root, "model.joblib is not a model that joblib or pickle can read")


def test_a_model_file_cut_short(iris, refused) -> None:
    root = iris()
    whole = (root / "model.joblib").read_bytes()
    (root / "model.joblib").write_bytes(whole[: len(whole) // 2])
    refused(root, "model.joblib is not a model")


def test_a_model_of_another_version(iris, refused) -> None:
    root = iris()
    data = (root / "model.joblib").read_bytes()
    version = __import__("sklearn").__version__.encode()
    assert version in data
    (root / "model.joblib").write_bytes(data.replace(version, b"0" * (len(version) - 4) + b".2.1"))
    refused(root, "was made by scikit-learn 0", "Install scikit-learn==0")


def test_something_that_is_no_estimator(iris, refused) -> None:
    root = iris()
    joblib.dump({"weights": [1, 2]}, root / "model.joblib")
    refused(root, "the model is a builtins.dict, not an estimator of scikit-learn, XGBoost or LightGBM")
    joblib.dump(LogisticRegression(), root / "model.joblib")
    refused(root, "the model (LogisticRegression) is not fitted")


def test_a_model_that_needs_the_script_that_saved_it(iris, refused) -> None:
    root = iris()
    (root / "model.joblib").write_bytes(pickle.dumps(np.zeros(1)).replace(b"numpy", b"nunpy"))
    refused(root, "model.joblib needs the module 'nunpy")
    (root / "model.joblib").write_bytes(b"c__main__\nMine\n.")
    refused(root, "needs code of the script or notebook", "module of the project")


def test_a_model_that_cannot_be_converted(iris, refused) -> None:
    root = iris()
    module = Path(__file__).stem
    code = Path(__file__).read_text().split("class Homemade")[1].split("@pytest.fixture")[0]
    header = "import numpy as np\nfrom sklearn.base import BaseEstimator, ClassifierMixin\nclass Homemade"
    maker = "\ndef make():\n    return Homemade().fit([[0.0]], [0, 1, 2])\n"
    (root / "own.py").write_text(header + code + maker)
    (root / "mlship.toml").write_text(
        (root / "mlship.toml").read_text().replace('"model.joblib"', '"own:make"')
    )
    text = refused(root, "the model (Homemade) cannot be converted to ONNX", "supported_converters()")
    assert module not in text


def test_a_conversion_that_is_not_equal(iris, refused) -> None:
    """float64 features that float32 cannot tell apart."""
    root = iris()
    rows = [[1e9 + at] for at in range(40)]
    model = LinearRegression().fit(rows, [at * 100.0 for at in range(40)])
    joblib.dump(model, root / "model.joblib")
    (root / "rows.csv").write_text("big\n" + "".join(f"{row[0]:.0f}\n" for row in rows))
    refused(
        root,
        "the ONNX model's numbers are not the original's in",
        "the largest error is",
        "[model] tolerance",
    )


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (
            "def reduce(c):\n    raise KeyError('kilo')\n",
            "the reduction raised on row 0 of the examples: KeyError",
        ),
        (
            "def reduce(c):\n    assert not (c['a'] == 7.9).any(), 'too long'\n    return c\n",
            "the reduction raised on row 131 of the examples: AssertionError: too long. That row has a=7.9",
        ),
        ("def reduce(c):\n    return {'X': c['a'][1:]}\n", "returned 'X' of shape [149] for 150 rows"),
        (
            "import numpy as np\ndef reduce(c):\n    return {'X': c['a'] + np.random.random(len(c['a']))}\n",
            "the reduction is not deterministic: 'X' differs between two runs in row 0",
        ),
        (
            PLAIN.replace("'abcd'", "'abc'"),
            "the reduction returned 'X' of shape [150, 3], the model reads 4 features. Correct the reduction",
        ),
        (
            PLAIN.replace("return", "c['a'][c['a'] == 7.9] = np.nan\n    return"),
            "the reduction returned NaN in 'X' for row 131 of the examples: the model takes none: ValueError",
        ),
        ("import nowhere\n", "'step' cannot be imported: ModuleNotFoundError: No module named 'nowhere'"),
        ("def other(c): ...\n", "the module 'step' has no function 'reduce'"),
        (
            "import os\ndef reduce(c):\n    os._exit(3)\n",
            "the project's code ended its own process with code 3: it, or a package of it, called os._exit",
        ),
        (
            "import sys\ndef reduce(c):\n    sys.exit(0)\n",
            "the reduction step:reduce ended the process (SystemExit 0)",
        ),
        ("import sys\nsys.exit()\n", "the reduction module 'step' ended the process (SystemExit 0)"),
    ],
)
def test_a_reduction_that_is_wrong(iris, refused, step: str, said: str) -> None:
    refused(iris(TOML + STEP, step=step), said)


def test_a_reduction_with_a_secret(iris, refused) -> None:
    key = "AKIA" + "ABCDEFGHIJKLMNOP"
    said = refused(
        iris(TOML + STEP, step=f"KEY = '{key}'\n{PLAIN}"), "step.py:1 looks like it has a key of AWS"
    )
    assert key not in said


def test_a_reduction_with_a_pickle(iris, refused) -> None:
    root = iris(TOML + STEP + 'include = ["weights.bin"]\n', step=PLAIN)
    (root / "weights.bin").write_bytes(pickle.dumps({"a": 1}))
    refused(root, "weights.bin is a pickle")


def test_code_that_ended_its_process_after_saying_something(iris, refused) -> None:
    root = iris(
        TOML + STEP, step="import os\ndef reduce(c):\n    os.write(2, b'no unit\\n')\n    os._exit(3)\n"
    )
    refused(root, "with code 3: no unit. All it said is in .mlship/build-error.log")
    assert (root / ".mlship" / "build-error.log").read_text() == "no unit\n"


def test_a_model_function_that_exits(iris, refused) -> None:
    root = iris(TOML.replace("model.joblib", "own:make"), own="import sys\ndef make():\n    sys.exit(3)\n")
    refused(root, "own:make ended the process (SystemExit 3)")


@pytest.mark.parametrize("runtime", ["", '[runtime]\npython = "3.11"\n'])
def test_an_interpreter_that_is_no_python(iris, refused, runtime: str) -> None:
    root = iris(TOML + runtime)
    text = (root / "mlship.toml").read_text()
    (root / "mlship.toml").write_text(text.replace("[project]\n", '[project]\npython = "/bin/ls"\n'))
    refused(root, "/bin/ls is not a Python")


def test_a_reduction_that_needs_what_the_runtime_has_not(iris, build) -> None:
    root = iris(TOML + STEP, step="import scipy.special\n" + PLAIN)
    with pytest.raises(BuildError) as caught:
        build(root)
    assert str(caught.value) == (
        "the reduction 'step' imports 'scipy', which the bundle's runtime does not have. "
        "Name its package in mlship.toml: [runtime] requirements"
    )


def test_a_reduction_that_needs_what_was_trimmed(iris, build) -> None:
    """Here `trim = false` is the way out."""
    toml = TOML + STEP + "[runtime]\n"
    root = iris(toml, step="import numpy._core.tests\n" + PLAIN)
    with pytest.raises(BuildError, match=r"or keep all of it: \[runtime\] trim = false"):
        build(root)
    iris(toml + "trim = false\n", step="import numpy._core.tests\n" + PLAIN)
    assert build(root).spec.runtime["platforms"].popitem()[1]["trim"] == 0


def test_a_reduction_that_knows_its_process(iris, build) -> None:
    """The same twice in one process, another in the next: caught by the clean one."""
    factor = "import sys\nimport numpy as np\nK = 0.5 if '-I' in sys.orig_argv else 1.0\n"
    root = iris(TOML + STEP, step=factor + PLAIN.replace("'X': ", "'X': K * "))
    with pytest.raises(BuildError, match="gives other values in the bundle's runtime than here"):
        build(root)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("a,b,c\n1,2,3\n", "the model reads 4 features, the examples give 3"),
        ("a,b,c,d,label\n1,2,3,4,x\n", "the model reads 4 features, the examples give 5"),
        ("a,b,c,d\n1,2,3,red\n", "It gets text in d"),
        ("a,b,c,d\n1,2,3\n", "rows.csv:2 has 3 cells"),
        ("a,b,c,d\n", "has a header and no rows"),
    ],
)
def test_examples_that_do_not_match_the_model(iris, refused, rows: str, said: str) -> None:
    root = iris()
    (root / "rows.csv").write_text(rows)
    refused(root, said)


def test_examples_that_do_not_match_the_schema(iris, refused) -> None:
    root = iris(TOML + '[schema.b]\ntype = "INT64"\n')
    refused(root, "rows.csv:2 column 'b': '3.5' is not a whole number of type INT64", "[schema.b]")


def test_missing_values_that_the_model_cannot_take(iris, refused) -> None:
    root = iris()
    (root / "rows.csv").write_text("a,b,c,d\n1,2,3,\n1,2,3,4\n")
    refused(root, "the model cannot answer the examples", "NaN")


def test_an_interpreter_without_the_converter(iris, refused, tmp_path: Path) -> None:
    import venv

    venv.create(tmp_path / "bare", with_pip=False)
    python = tmp_path / "bare" / "bin" / "python"
    root = iris()
    text = (root / "mlship.toml").read_text()
    (root / "mlship.toml").write_text(text.replace("[project]\n", f'[project]\npython = "{python}"\n'))
    refused(root, "has no numpy and no scikit-learn and no skl2onnx and no onnx", f"{python} -m pip install")


def test_a_package_that_no_index_has(iris, build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    root = iris(TOML + '[runtime]\nrequirements = ["numpy==0.0.1.dev999"]\n')
    with pytest.raises(BuildError, match=r"no set of wheels for .*: there is no version of numpy==0\.0\.1"):
        build(root)


def test_a_python_that_no_wheel_is_made_for(iris, build) -> None:
    root = iris(TOML + '[runtime]\npython = "3.47"\n')
    with pytest.raises(BuildError, match=r"no set of wheels for .*-cp347-"):
        build(root)


def test_examples_that_are_not_there(iris, build) -> None:
    root = iris()
    (root / "rows.csv").unlink()
    with pytest.raises(ConfigError, match=r"mlship\.toml:\d+: golden\.from names 'rows\.csv'"):
        build(root)


def test_a_cache_that_cannot_be_written(iris, build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MLSHIP_CACHE", str(tmp_path / "file" / "cache"))
    root = iris()
    with pytest.raises(BuildError, match="Not a directory"):
        build(root)
    assert not (root / "mlship.lock").exists()


def test_a_bundle_above_its_budget(iris, refused) -> None:
    refused(
        iris(TOML + '[bundle]\nmax_size = "1 MB"\n'),
        "MB, above the 1 MB of [bundle] max_size: the largest parts are ",
        "onnxruntime (linux-",
        ". Leave out what is not needed, or raise max_size",
    )
