"""What a model file says of itself, for `mlship init`.

Loading a model runs its code, hence the process of its own, in the interpreter that made the model. Modules
that the model needs are looked for in the folders of the job.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

from . import formats, loading
from .failure import Failure

MOST_CLASSES = 20


def main(job: dict[str, Any]) -> None:
    sys.path[:0] = job["folders"]
    warnings.simplefilter("ignore")
    try:
        answer = look(Path(job["model"]))
        if job["examples"].endswith(".npy"):
            answer |= measured(job["examples"])
    except Failure as failure:
        answer = {"error": failure.cause or failure.what}
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    Path(job["result"]).write_text(json.dumps(answer), encoding="utf-8")


def measured(examples: str) -> dict[str, Any]:
    """The shape of an array in a file, or why it cannot be read."""
    import numpy as np

    try:
        return {"shape": list(np.load(examples, mmap_mode="r", allow_pickle=False).shape)}
    except (ValueError, EOFError, OSError) as error:
        return {"unreadable": str(error)}


def look(path: Path) -> dict[str, Any]:
    """What is known of the model in the file; raises Failure if it cannot be read."""
    python = ".".join(str(part) for part in sys.version_info[:2])
    if formats.format_of(path) == formats.ONNX:
        return {**_describe_graph(path), "python": python}
    model = loading.from_file(path)
    if type(model).__name__ == "Booster":
        from . import boosters

        model = boosters.estimator(model)
    return {**_describe(model), "python": python}


def _describe(model: Any) -> dict[str, Any]:
    kind = type(model)
    package, name = kind.__module__.partition(".")[0], kind.__name__
    if package == __name__.partition(".")[0]:
        package, name = "lightgbm", "Booster"
    maker = "torch" if loading.is_network(model) else package
    classes = getattr(model, "classes_", None)
    names = getattr(model, "feature_names_in_", None)
    count = getattr(model, "n_features_in_", None)
    return {
        "class": f"{package}.{name}",
        "madeWith": f"{maker} {getattr(sys.modules.get(maker), '__version__', '')}".strip(),
        "features": None if count is None else int(count),
        "names": None if names is None else [str(name) for name in names],
        "classes": [] if classes is None else [str(name) for name in list(classes)[:MOST_CLASSES]],
        "predicts": hasattr(model, "predict") or loading.is_network(model),
    }


def _describe_graph(path: Path) -> dict[str, Any]:
    """Several inputs are columns with names; a single one is a matrix of so many features."""
    from . import taken

    model, opset, _ = taken.read(path)
    inputs = taken.inputs_of(model)
    sizes = [size.dim_value for size in inputs[0].type.tensor_type.shape.dim] if len(inputs) == 1 else []
    width = sizes[1] if len(sizes) == 2 else 0
    return {
        "class": "an ONNX graph",
        "madeWith": f"{model.producer_name or 'onnx'} {model.producer_version or f'opset {opset}'}",
        "features": width or None,
        "names": [node.name for node in inputs] if len(inputs) > 1 else None,
        "classes": [],
        "predicts": True,
    }
