"""Run on its own: `python look.py MODEL EXAMPLES RESULT FOLDER…` writes what a model file says of itself.

Loading a model runs its code, hence the process of its own, in the interpreter that made the model. Modules
that the model needs are looked for in the folders.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

MOST_CLASSES = 20


def main(model: str, examples: str, result: str, *folders: str) -> None:
    sys.path[:1] = folders  # in the place of the folder of this file
    try:
        answer = describe(load(Path(model)))
        if examples.endswith(".npy"):
            import numpy as np

            answer["shape"] = list(np.load(examples, mmap_mode="r", allow_pickle=False).shape)
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    Path(result).write_text(json.dumps(answer), encoding="utf-8")


def load(path: Path) -> Any:
    try:
        import joblib
    except ImportError:
        import pickle

        with path.open("rb") as file:
            return pickle.load(file)  # noqa: S301 - the user's own model, named on the command line
    return joblib.load(path)


def describe(model: Any) -> dict[str, Any]:
    kind = type(model)
    package = kind.__module__.partition(".")[0]
    classes = getattr(model, "classes_", None)
    names = getattr(model, "feature_names_in_", None)
    count = getattr(model, "n_features_in_", None)
    return {
        "class": f"{package}.{kind.__name__}",
        "madeWith": f"{package} {getattr(sys.modules.get(package), '__version__', '')}".strip(),
        "python": ".".join(str(part) for part in sys.version_info[:2]),
        "features": None if count is None else int(count),
        "names": None if names is None else [str(name) for name in names],
        "classes": [] if classes is None else [str(name) for name in list(classes)[:MOST_CLASSES]],
        "predicts": hasattr(model, "predict"),
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
