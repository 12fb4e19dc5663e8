"""Goes through a pickle, or what joblib writes, operation by operation; imports nothing by itself.

joblib puts the bytes of arrays between the operations of the pickle, right after an object that describes
them, and arrays of objects as a pickle of their own. Its own reader is not used: older ones read the inner
pickle without asking for anything.
Source: joblib/numpy_pickle.py (NumpyArrayWrapper), 0.10 to 1.6.
"""

from __future__ import annotations

import _compat_pickle
import io
import pickle
from collections.abc import Callable, Mapping
from typing import Any

WRAPPER = "joblib.numpy_pickle.NumpyArrayWrapper"
_EXTENSIONS = (pickle.EXT1, pickle.EXT2, pickle.EXT4)
_Unpickler: Any = pickle._Unpickler  # the one in Python, whose operations can be replaced one by one


class Wrapper:
    """What stands in a file of joblib where the bytes of an array begin: `shape`, `dtype`, `order`, …"""


Find = Callable[[str], Any]
ReadArray = Callable[["Machine", Mapping[str, Any]], Any]


class Machine(_Unpickler):  # type: ignore[misc]
    """Runs the operations of one pickle. `find` gives what a name stands for, `read_array` the array whose
    bytes come next in `stream`. Raises whatever these raise, and UnpicklingError."""

    dispatch = dict(_Unpickler.dispatch)

    def __init__(self, stream: io.BytesIO, find: Find, read_array: ReadArray) -> None:
        super().__init__(stream)
        self.stream, self._find, self._read_array = stream, find, read_array

    def inner(self) -> Any:
        """What the pickle that begins here in the stream holds."""
        return Machine(self.stream, self._find, self._read_array).load()

    def find_class(self, module: str, name: str) -> Any:
        if self.proto < 3:  # such pickles call things as Python 2 did
            otherwise = _compat_pickle.IMPORT_MAPPING.get(module, module), name
            module, name = _compat_pickle.NAME_MAPPING.get((module, name), otherwise)
        if "." in name:
            raise pickle.UnpicklingError(f"it names a part of something: {module}.{name}"[:200])
        found = self._find(f"{module}.{name}")
        return Wrapper if f"{module}.{name}" == WRAPPER else found

    def load_build(self) -> None:
        if isinstance(self.stack[-2], type):
            raise pickle.UnpicklingError("it changes a class")
        super().load_build()
        if isinstance(self.stack[-1], Wrapper):
            frame = self._unframer.current_frame
            if frame is not None and frame.read(1):
                raise pickle.UnpicklingError("an array begins inside of a frame")
            self.stack[-1] = self._read_array(self, vars(self.stack[-1]))

    def load_extension(self) -> None:
        raise pickle.UnpicklingError("it names something by a number")

    dispatch[pickle.BUILD[0]] = load_build
    for _code in _EXTENSIONS:
        dispatch[_code[0]] = load_extension


def skip_padding(machine: Machine, state: Mapping[str, Any]) -> None:
    """Go over the bytes that bring an array to a round address, where joblib says that there are some."""
    if state.get("numpy_array_alignment_bytes") is not None:
        machine.stream.read(machine.stream.read(1)[0])
