"""A fitted object as the file that a build reads. It is written here and read in another process, by the same
interpreter; this one never unpickles anything."""

from __future__ import annotations

import io
import pickle
from types import FunctionType
from typing import Any

from mlship.errors import BuildError

PICKLED, GRAPH = ".pkl", ".onnx"
_HOME = "__main__"


def model_file(model: Any) -> tuple[str, bytes]:
    """The suffix and content of the file of `model`. Raises BuildError for one that cannot be written, or
    that needs code which only this notebook or script has."""
    if type(model).__module__.partition(".")[0] == "onnx" and hasattr(model, "SerializeToString"):
        return GRAPH, bytes(model.SerializeToString())
    written = io.BytesIO()
    pickler = _Pickler(written)
    try:
        pickler.dump(model)
    except Exception as error:
        if pickler.own:
            raise _only_here(pickler.own) from error
        raise BuildError(
            f"the {type(model).__name__} cannot be saved",
            cause=f"{type(error).__name__}: {error}",
            fix="Take out what cannot be pickled: lambdas, open files, connections",
        ) from error
    if pickler.own:
        raise _only_here(pickler.own)
    return PICKLED, written.getvalue()


class _Pickler(pickle.Pickler):
    """Remembers what it names that was defined in the notebook itself, where no other process finds it."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=5)
        self.own: list[str] = []

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, (type, FunctionType)) and obj.__module__ == _HOME:
            self.own.append(obj.__qualname__)
        return NotImplemented


def _only_here(names: list[str]) -> BuildError:
    unique = ", ".join(dict.fromkeys(names))
    return BuildError(
        f"the model needs {unique}, defined in this notebook or script",
        cause="the build loads it in a process of its own, which cannot import that",
        fix="Move it into a module beside mlship.toml, import it from there, and fit again",
    )
