"""What computes a bundle's answers: a session of ONNX Runtime, or the model as it was, in Python."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mlship_runtime.bundle.spec import FileEntry
from mlship_runtime.errors import InvalidBundle, RuntimeFault
from mlship_runtime.model.datatypes import Array

if TYPE_CHECKING:
    from mlship_runtime.model.bound_row import BoundRow


class ModelFailed(RuntimeFault):
    """The model raised on an input that fits the schema."""

    kind = "model"


class Node(Protocol):
    """An input of the model: `name`, numpy `dtype`, `shape` (-1 where it is open). `takes_missing` says that
    None may stand for a missing text."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    takes_missing: bool


class Engine(Protocol):
    """A loaded model, to be run by one thread at a time; `names` are its outputs."""

    names: list[str]

    @property
    def inputs(self) -> Sequence[Node]: ...

    def run(self, feed: Mapping[str, Array]) -> list[Array]:
        """The outputs, in the order of `names`; raises ModelFailed."""
        ...

    def row(self) -> BoundRow | None:
        """A quicker way for one row of numbers, if there is one."""
        ...


def read_hashed(path: str, entry: FileEntry) -> bytes:
    """The bytes of a file, if they are those of the index; raises InvalidBundle."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InvalidBundle(f"{entry.path} cannot be read", cause=error.strerror or str(error)) from error
    if hashlib.sha256(data).hexdigest() != entry.sha256:
        raise InvalidBundle(f"{entry.path} is not the file of the index", cause="it was damaged or exchanged")
    return data
