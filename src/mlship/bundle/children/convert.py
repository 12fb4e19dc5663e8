"""The whole work in the project's interpreter: reduce the examples, ask the model, convert it, write the
results.

Reads a job (see `mlship.bundle.convert`), writes `result` (JSON; NaN is allowed in it) and `model` (ONNX
bytes).
"""

from __future__ import annotations

import importlib.util
import json
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

from mlship_runtime.errors import RuntimeFault

from .failure import Failure, ended, reason

_NEEDED = {"numpy": "numpy", "sklearn": "scikit-learn", "skl2onnx": "skl2onnx", "onnx": "onnx"}


def main(job: dict[str, Any]) -> None:
    try:
        warnings.simplefilter("ignore")
        _check_packages(["numpy", "onnx"] if _is_onnx(job) else list(_NEEDED))
        result = {"ok": True, **_work(job)}
    except (Failure, RuntimeFault) as failure:
        error = {"what": failure.what, "cause": failure.cause, "fix": failure.fix}
        result = {"ok": False, "error": error, "trace": traceback.format_exc()}
    except SystemExit as end:
        found = ended("code that the build called in the project's Python", end)
        error = {"what": found.what, "cause": found.cause, "fix": found.fix}
        result = {"ok": False, "error": error, "trace": traceback.format_exc()}
    except Exception as error:
        result = {
            "ok": False,
            "error": {"what": "the build failed in the project's Python", "cause": reason(error), "fix": ""},
            "trace": traceback.format_exc(),
        }
    Path(job["result"]).write_text(json.dumps(result), encoding="utf-8")


def _work(job: dict[str, Any]) -> dict[str, Any]:
    from mlship_runtime.bundle.spec import TensorSpec
    from mlship_runtime.model.tensors import from_tensors

    from . import reducing, taken
    from .features import Features

    sys.path.append(job["root"])
    schema = [TensorSpec(name, kind, tuple(shape), null) for name, kind, shape, null in job["schema"]]
    columns = from_tensors(job["inputs"], schema)
    nullable = {spec.name for spec in schema if spec.nullable}
    reduction = None
    if job["reduction"]:
        reduction = reducing.load(job["reduction"]["module"], job["reduction"]["function"], job["root"])
        columns = reducing.run(reduction, columns)
    features = Features(columns, None if reduction else nullable, reduced=reduction is not None)
    if _is_onnx(job):
        converted = taken.take(job["model"]["file"], features)
    else:
        from . import estimator

        converted = estimator.convert(job["model"], features, job["opset"], job["precision"])
    Path(job["graph"]).write_bytes(converted.pop("graph"))
    return {
        **converted,
        "reduced": features.tensors(),
        "reducedSchema": features.schema(),
        "sources": reducing.sources(reduction, job["reduction"]["include"]) if reduction else {},
        "python": "{}.{}.{}".format(*sys.version_info[:3]),
        "implementation": sys.implementation.name,
    }


def _is_onnx(job: dict[str, Any]) -> bool:
    return str(job["model"].get("file", "")).endswith(".onnx")


def _check_packages(modules: list[str]) -> None:
    missing = [_NEEDED[name] for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise Failure(
            f"the project's Python has no {' and no '.join(missing)}",
            cause="models are converted there, with the versions that made them",
            fix=f"Run: {sys.executable} -m pip install {' '.join(missing)}",
        )
