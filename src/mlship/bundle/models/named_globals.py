"""Which classes and functions a pickle names, found by going through it with stand-ins for all of them.

Nothing of the model is imported or called. What cannot be followed so is refused, for then the list would not
be the whole of it.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from io import BytesIO
from math import prod
from typing import Any

from mlship.errors import BuildError
from mlship_runtime.model.pickled import Machine, skip_padding

_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"]\x00\x00", b"\x04\x22\x4d\x18", b"\x78\x01", b"\x78\x5e",
               b"\x78\x9c", b"\x78\xda")  # fmt: skip
_WIDE = {"U": 4}  # bytes of a character


def named_in_pickle(name: str, data: bytes) -> tuple[str, ...]:
    """All names (`module.name`) in the pickle `data` of the file `name`, sorted; raises BuildError."""
    if data.startswith(_COMPRESSED):
        raise BuildError(
            f"{name} is compressed",
            cause="a pickle that travels must be readable as it lies there",
            fix="Save it without compression: joblib.dump(model, path)",
        )
    found: dict[str, type[_StandIn]] = {}

    def stand_in(named: str) -> type[_StandIn]:
        return found.setdefault(named, type("_Named", (_StandIn,), {"named": named}))

    try:
        Machine(BytesIO(data), stand_in, _skip_array).load()
    except Exception as error:
        raise BuildError(
            f"{name} is no pickle that can be followed",
            cause=f"{type(error).__name__}: {error}",
            fix="Save the fitted estimator or pipeline itself: joblib.dump(model, path)",
        ) from error
    return tuple(sorted(found))


class _StandIn:
    """An object of a class that is not imported, or what a function that is not called would have given.
    It takes whatever a pickle puts into it, and keeps what tells the size of an array."""

    named = ""
    args: tuple[Any, ...] = ()
    state: Any = None

    def __new__(cls, *args: Any, **_: Any) -> _StandIn:
        made = super().__new__(cls)
        made.args = args
        return made

    def __init__(self, *args: Any, **_: Any) -> None:
        super().__init__()

    def __call__(self, *_: Any) -> _StandIn:
        return _StandIn()

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        self.state = (self.state, key, value)

    def append(self, value: Any) -> None:
        self.state = (self.state, value)

    extend = add = append


def _skip_array(machine: Machine, state: Mapping[str, Any]) -> _StandIn:
    if _holds_objects(state["dtype"]):
        machine.inner()
        return _StandIn()
    skip_padding(machine, state)
    size = prod(int(length) for length in state["shape"]) * _item_size(state["dtype"])
    if size < 0 or len(machine.stream.read(size)) != size:
        raise pickle.UnpicklingError("an array goes beyond the end of the file")
    return _StandIn()


def _code(dtype: Any) -> str:
    """What numpy.dtype was called with: kind and size, as `f8`."""
    if not isinstance(dtype, _StandIn) or dtype.named != "numpy.dtype" or not isinstance(dtype.args[0], str):
        raise pickle.UnpicklingError("an array of an unknown type")
    return dtype.args[0]


def _item_size(dtype: Any) -> int:
    code = _code(dtype)
    return int(code[1:]) * _WIDE.get(code[0], 1)


def _holds_objects(dtype: Any) -> bool:
    """As numpy says it: the type itself, that of its elements, or that of a field."""
    if _code(dtype).startswith("O"):
        return True
    state = dtype.state
    if not isinstance(state, tuple) or len(state) < 5:
        return False
    inner = [state[2][0]] if state[2] else []
    inner += [field[0] for field in (state[4] or {}).values()]
    return any(_holds_objects(part) for part in inner)
