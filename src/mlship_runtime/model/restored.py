"""Makes the model out of its file again. Only what the bundle lists is imported for it."""

from __future__ import annotations

import importlib
import io
import pickle
from collections.abc import Collection, Mapping
from math import prod
from typing import Any

import numpy as np

from mlship_runtime.errors import InvalidBundle
from mlship_runtime.model.permitted import forbidden, resolve
from mlship_runtime.model.pickled import WRAPPER, Machine, skip_padding
from mlship_runtime.model.skops_file import named_in_skops


def restore(data: bytes, serialization: str, permitted: Collection[str]) -> Any:
    """The object in `data` (a `pickle` or a file of `skops`). Raises InvalidBundle for a name that is not
    `permitted` or can never be, and for what cannot be read."""
    try:
        return _from_skops(data, permitted) if serialization == "skops" else _from_pickle(data, permitted)
    except InvalidBundle:
        raise
    except (Exception, SystemExit) as error:
        cause = f"{type(error).__name__}: {error}".splitlines()[0]
        raise InvalidBundle("the model cannot be read", cause=cause) from error


def _from_pickle(data: bytes, permitted: Collection[str]) -> Any:
    def find(name: str) -> Any:
        if name not in permitted:
            raise _not_listed(name)
        return None if name == WRAPPER else resolve(name)

    return Machine(io.BytesIO(data), find, _read_array).load()


def _from_skops(data: bytes, permitted: Collection[str]) -> Any:
    for name in named_in_skops(data):
        if name not in permitted:
            raise _not_listed(name)
        if why := forbidden(name):
            raise InvalidBundle(f"the model names {name[:100]!a}, which cannot be permitted", cause=why)
    return importlib.import_module("skops.io").loads(data, trusted=sorted(permitted))


def _not_listed(name: str) -> InvalidBundle:
    return InvalidBundle(
        f"the model names {name[:100]!a}", cause="the bundle does not list it among its globals"
    )


def _read_array(machine: Machine, state: Mapping[str, Any]) -> Any:
    dtype, shape = state["dtype"], tuple(int(size) for size in state["shape"])
    if not isinstance(dtype, np.dtype) or state["subclass"] not in (np.ndarray, np.memmap):
        raise pickle.UnpicklingError("an array of an unknown kind")
    if dtype.hasobject:
        return machine.inner()
    skip_padding(machine, state)
    size = prod(shape) * dtype.itemsize
    data = bytearray(machine.stream.read(max(size, 0)))
    if min(shape, default=0) < 0 or len(data) != size:
        raise pickle.UnpicklingError("an array goes beyond the end of the file")
    flat = np.frombuffer(data, dtype)
    if state["order"] == "F":
        return flat.reshape(shape[::-1]).transpose()
    return flat.reshape(shape)
