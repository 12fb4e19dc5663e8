"""What a build of the quickstart costs, as CPU time of whole processes and their children; 1 over a limit.

Against `mlflow.sklearn.save_model` of the same model, with signature and input example, in an environment of
its own: at most 0.6 times when the model has changed since the last build, 0.2 times when nothing has.
`bentoml build` of a service around the same model is shown beside it; it asks for less: no conversion, no
packages, no proof. Both environments are made here from the package index, and kept in MLSHIP_BENCH if that
names a folder; without an index, the bench says so and measures mlship alone.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from bench_start import BIN, cpu, spread, verdict

ROUNDS = 5
CHANGED_LIMIT, SAME_LIMIT = 0.6, 0.2  # of MLflow's
OTHERS = {"mlflow": ["mlflow>=3", "scikit-learn"], "bentoml": ["bentoml>=1.4", "scikit-learn"]}

SAVE = """
import csv, shutil, joblib, numpy
import mlflow.sklearn
from mlflow.models import infer_signature
from reduction import reduce
names, *rows = csv.reader(open("rows.csv"))
raw = numpy.array([[float(value or "nan") for value in row] for row in rows])
X = reduce(dict(zip(names, raw.T)))["X"]
model = joblib.load("model.joblib")
shutil.rmtree("mlflow-saved", ignore_errors=True)
signature = infer_signature(X, model.predict(X))
mlflow.sklearn.save_model(
    model, "mlflow-saved", signature=signature, input_example=X[:5], serialization_format="cloudpickle"
)
"""
SERVICE = """
import bentoml, joblib, numpy
from reduction import reduce

@bentoml.service
class First:
    def __init__(self) -> None:
        self.model = joblib.load("model.joblib")

    @bentoml.api
    def predict(self, columns: dict[str, list[float]]) -> list[int]:
        return self.model.predict(reduce({k: numpy.array(v) for k, v in columns.items()})["X"]).tolist()
"""
BENTOFILE = """
service: service:First
include: ["*.py", "*.json", "*.joblib"]
python: {packages: [scikit-learn, joblib]}
"""


def main() -> int:
    own = ("MLSHIP_", "PYTHON")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(own)}
    print(f"load before the bench: {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory(prefix="mlship-bench-") as scratch:
        folder = Path(scratch)
        home = Path(os.environ.get("MLSHIP_BENCH") or folder)
        environment |= {
            "MLSHIP_HOME": str(folder / "home"),
            "MLSHIP_CACHE": str(folder / "cache"),
            "BENTOML_HOME": str(folder / "bentoml"),
            "BENTOML_DO_NOT_TRACK": "true",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "VIRTUAL_ENV": sys.prefix,
            "PATH": f"{BIN}{os.pathsep}{environment.get('PATH', os.defpath)}",
        }
        cpu([BIN / "mlship", "init", "first"], folder, environment)
        project = folder / "first"
        cpu([BIN / "python", "train.py"], project, environment)
        cpu([BIN / "mlship", "build"], project, environment)  # packages are fetched, layers made
        changed, same = ours(project, environment)
        print(f"mlship build, model changed: {spread(changed)}")
        print(f"mlship build, nothing changed: {spread(same)}")
        shown(project, environment, home)
        return compared(project, environment, home, changed, same)


def ours(project: Path, environment: dict[str, str]) -> tuple[list[float], list[float]]:
    """Seconds of a build after the model changed, and of another one right after it."""
    changed, same = [], []
    train = (project / "train.py").read_text(encoding="utf-8")
    for number in range(ROUNDS):
        (project / "train.py").write_text(
            re.sub(r"n_estimators=\d+", f"n_estimators={80 + number % 2}", train), encoding="utf-8"
        )
        cpu([BIN / "python", "train.py"], project, environment)
        forget(Path(environment["MLSHIP_CACHE"], "conversions"))
        changed.append(cpu([BIN / "mlship", "build"], project, environment))
        same.append(cpu([BIN / "mlship", "build"], project, environment))
    return changed, same


def forget(conversions: Path) -> None:
    """That a model of rounds before comes back is no gain here."""
    for file in conversions.iterdir():
        file.unlink()


def compared(
    project: Path, environment: dict[str, str], home: Path, changed: Sequence[float], same: Sequence[float]
) -> int:
    python = made("mlflow", home, environment)
    if python is None:
        return 1
    (project / "save.py").write_text(SAVE, encoding="utf-8")
    theirs = repeated([python, "save.py"], project, environment)
    print(f"mlflow.sklearn.save_model: {spread(theirs)}")
    base = statistics.median(theirs)
    held = [
        verdict("build / save_model, model changed", statistics.median(changed) / base, CHANGED_LIMIT),
        verdict("build / save_model, nothing changed", statistics.median(same) / base, SAME_LIMIT),
    ]
    return 0 if all(held) else 1


def shown(project: Path, environment: dict[str, str], home: Path) -> None:
    python = made("bentoml", home, environment)
    if python is None:
        return
    (project / "service.py").write_text(SERVICE, encoding="utf-8")
    (project / "bentofile.yaml").write_text(BENTOFILE, encoding="utf-8")
    print(f"bentoml build: {spread(repeated([python, '-m', 'bentoml', 'build'], project, environment))}")


def repeated(command: Sequence[str | Path], folder: Path, environment: dict[str, str]) -> list[float]:
    cpu(command, folder, environment)  # byte code and page cache
    return [cpu(command, folder, environment) for _ in range(ROUNDS)]


def made(name: str, home: Path, environment: dict[str, str]) -> Path | None:
    """The interpreter of an environment with this tool; None if it could not be made."""
    folder = home / f"{name}-environment"
    python = folder / "bin" / "python"
    done = folder / ".done"
    if done.exists():
        return python
    uv = str(BIN / "uv")
    steps: Iterable[list[str]] = (
        [uv, "venv", "--quiet", "--clear", "--python", str(BIN / "python"), str(folder)],
        [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", str(python), *OTHERS[name]],
    )
    for step in steps:
        ended = subprocess.run(step, env=environment, capture_output=True, text=True, check=False)
        if ended.returncode:
            print(f"{name}: its environment could not be made: {ended.stderr.strip().splitlines()[-1]}")
            return None
    done.touch()
    return python


if __name__ == "__main__":
    sys.exit(main())
