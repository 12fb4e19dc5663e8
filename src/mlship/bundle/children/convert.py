"""The whole work in the project's interpreter: reduce the examples, ask the model, convert it, write the
results.

Reads a job (see `mlship.bundle.models.convert`), writes `result` (JSON; NaN is allowed in it) and `model`
(ONNX bytes).
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
import traceback
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlship_runtime.errors import RuntimeFault

from . import formats, witness
from .failure import Failure, ended, reason

if TYPE_CHECKING:
    from .features import Features


def main(job: dict[str, Any]) -> None:
    seen = witness.Witness()
    try:
        warnings.simplefilter("ignore")
        _check_packages(formats.LEFT if _stays(job) else formats.NEEDED[_format(job)])
        result = {"ok": True, **_work(job)}
        ours = [str(Path(place).parent) for place in (job["result"], job["graph"], __file__)]
        result["used"] = seen.testimony(*ours, job["groundFloor"])
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

    sys.path += [job["root"], *job["code"]]
    schema = [TensorSpec(name, kind, tuple(shape), null) for name, kind, shape, null in job["schema"]]
    columns = from_tensors(job["inputs"], schema)
    nullable = {spec.name for spec in schema if spec.nullable}
    reduction, split = None, job["split"]
    if job["reduction"]:
        reduction = reducing.load(job["reduction"]["module"], job["reduction"]["function"], job["root"])
        columns = reducing.run(reduction, columns)
    reduced = reduction is not None or job["reduced"]
    features = Features(columns, None if reduced else nullable, reduced=reduced)
    if _stays(job):
        from . import left

        converted = left.take(job, features)
        if converted["untrusted"]:
            return converted
    elif _format(job) == formats.ONNX and split is None:
        converted = taken.take(job["model"]["file"], features)
    else:
        converted = _convert(job, features, split)
    if "graph" in converted:
        _put(converted.pop("graph"), job["graph"])
    if split is not None:
        features = converted.pop("reduced")
        Path(job["reducing"]).write_bytes(converted["reduction"].pop("graph"))
    return {
        **converted,
        "reduced": features.tensors() if split is None else [],  # the proof is of the whole
        "reducedSchema": features.schema(),
        "sources": reducing.sources(reduction, job["reduction"]["include"]) if reduction else {},
        "python": "{}.{}.{}".format(*sys.version_info[:3]),
        "implementation": sys.implementation.name,
    }


def _put(graph: bytes | Path, place: str) -> None:
    """What was made, or a model as it is, which may be too large for memory."""
    if isinstance(graph, Path):
        shutil.copyfile(graph, place)
    else:
        Path(place).write_bytes(graph)


def _convert(job: dict[str, Any], features: Features, split: int | str | None) -> dict[str, Any]:
    from . import loading

    if _format(job) == formats.ONNX:
        raise _no_steps("an ONNX graph")
    model = loading.load(job["model"])
    if loading.is_network(model):
        if split is not None:
            raise _no_steps("a network of PyTorch")
        from . import network

        return network.convert(model, features, job["opset"], job["precision"])
    _check_packages(formats.NEEDED[formats.PICKLE])
    from . import estimator

    return estimator.convert(model, features, job["opset"], job["precision"], split, job["beside"])


def _no_steps(what: str) -> Failure:
    return Failure(
        f"the model is {what}, which has no steps to split off", fix="Take split out of [reduction]"
    )


def _stays(job: dict[str, Any]) -> bool:
    """Whether the model is not to be converted."""
    return "serialization" in job["model"]


def _format(job: dict[str, Any]) -> str:
    file = job["model"].get("file")
    return formats.format_of(Path(file)) if file else formats.FUNCTION


def _check_packages(needed: dict[str, str]) -> None:
    missing = [package for name, package in needed.items() if importlib.util.find_spec(name) is None]
    if missing:
        raise Failure(
            f"the project's Python has no {' and no '.join(missing)}",
            cause="models are converted there, with the versions that made them",
            fix=f"Run: {sys.executable} -m pip install {' '.join(missing)}",
        )
