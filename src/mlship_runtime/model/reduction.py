"""The reduction of a bundle: a Python step, imported from its own layer, or an ONNX graph; run, and its
result checked.

The layer's folder goes to the end of `sys.path`: nothing in it can stand before the runtime's packages.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Callable

import numpy as np

from mlship_runtime.bundle.spec import Spec, TensorSpec
from mlship_runtime.errors import BadInput, InvalidBundle, RuntimeFault
from mlship_runtime.model.assembly import Feed, check_fed
from mlship_runtime.model.datatypes import Array, column_type
from mlship_runtime.model.engine import ModelFailed

Step = Callable[[dict[str, Array]], dict[str, Array]]


class ReductionFailed(RuntimeFault):
    """The reduction raised, or its result is not what the schema says: a fault of the bundle."""

    kind = "reduction"


class Reduction:
    """`step` of `module`, with the tensors it must return (any, while the schema is not recorded yet)."""

    def __init__(self, step: Step, reduced: Sequence[TensorSpec]) -> None:
        self._step = step
        self._reduced = tuple(reduced)

    def __call__(self, columns: Mapping[str, Array], rows: int) -> dict[str, Array]:
        """The reduced arrays of a batch of `rows`; raises ReductionFailed."""
        try:
            result = self._step(dict(columns))
        except BadInput:
            raise
        except ModelFailed as error:
            raise ReductionFailed(str(error).replace("the model", "the reduction")) from error
        except (Exception, SystemExit) as error:
            raise ReductionFailed(f"the reduction failed on this input ({type(error).__name__})") from error
        _check_batch(result, rows)
        return _by_schema(result, self._reduced) if self._reduced else result


def graph_reduction(
    data: bytes, assemble: Mapping[str, Sequence[str]], spec: Spec, threads: int
) -> Reduction:
    """The step that an ONNX graph is, in a session of its own; raises InvalidBundle."""
    from mlship_runtime.model.session import Session

    reduced = spec.reduced
    session = Session(data, [spec.name for spec in reduced], threads)
    feeds = [Feed(node, assemble.get(node.name, ())) for node in session.inputs]
    check_fed(feeds, [tensor.name for tensor in spec.inputs], "reduction")

    def step(columns: dict[str, Array]) -> dict[str, Array]:
        return dict(zip(session.names, session.run({feed.input: feed.assemble(columns) for feed in feeds})))

    return Reduction(step, reduced)


def load_reduction(
    roots: Sequence[str], description: Mapping[str, Any], reduced: Sequence[TensorSpec]
) -> Reduction:
    """Import the function that `description` names ({kind, module, function}) from the unpacked layer
    under one of `roots`; raises InvalidBundle."""
    folders = [os.path.join(root, "reduction") for root in roots]
    sys.path.extend(folder for folder in folders if folder not in sys.path)
    name, function = description["module"], description["function"]
    try:
        module = importlib.import_module(name)
    except (Exception, SystemExit) as error:
        cause = f"{type(error).__name__}: {error}"
        raise InvalidBundle(f"the reduction {name!r} cannot be imported", cause=cause) from error
    place = os.path.realpath(module.__file__ or "")
    if not any(place.startswith(os.path.realpath(folder) + os.sep) for folder in folders):
        cause = "another module of the runtime has that name"
        raise InvalidBundle(f"the reduction {name!r} is hidden", cause=cause, fix="Rename the module")
    step = getattr(module, function, None)
    if not callable(step):
        raise InvalidBundle(f"the reduction {name!r} has no function {function!r}")
    return Reduction(step, reduced)


def _check_batch(result: Any, rows: int) -> None:
    if not isinstance(result, dict) or not result:
        raise _wrong(f"it returned {type(result).__name__}, not a dict of arrays")
    for name, array in result.items():
        if not isinstance(name, str) or not isinstance(array, np.ndarray):
            raise _wrong(f"{name!r} is {type(array).__name__}, not an array")
        if array.ndim == 0 or len(array) != rows:
            raise _wrong(f"{name} has the shape {list(array.shape)} for {rows} rows")


def _by_schema(result: dict[str, Array], reduced: Sequence[TensorSpec]) -> dict[str, Array]:
    found = {}
    for spec in reduced:
        array = result.get(spec.name)
        if array is None:
            raise _wrong(f"{spec.name} is missing")
        wanted = spec.shape
        if array.ndim != len(wanted) or any(
            size not in (-1, array.shape[axis]) for axis, size in enumerate(wanted)
        ):
            raise _wrong(f"{spec.name} has the shape {list(array.shape)}, recorded is {list(wanted)}")
        if spec.datatype != "BYTES" and array.dtype != column_type(spec):
            raise _wrong(f"{spec.name} is {array.dtype}, recorded is {spec.datatype}")
        found[spec.name] = array
    if len(result) != len(found):
        raise _wrong(f"{', '.join(sorted(set(result) - set(found)))} is new")
    return found


def _wrong(why: str) -> ReductionFailed:
    return ReductionFailed("the reduction failed on this input (wrong result)", cause=why)
