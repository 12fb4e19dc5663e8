"""One chunk from bytes to bytes: read, predicted, written. The same chunk gives the same bytes in whatever
process, so that workers and restarts leave no trace in the output."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Callable, Optional, Protocol

import numpy as np

from mlship_runtime.errors import InvalidBundle, RuntimeFault
from mlship_runtime.model.datatypes import Array
from mlship_runtime.scoring.rows import Rows, Scored, Unwritable, bad_row, picked

Predict = Callable[[Mapping[str, Array]], Mapping[str, Array]]


class Reader(Protocol):
    def __call__(self, data: bytes, first_line: int) -> Rows: ...


class Writer(Protocol):
    """`control` are the control totals of what the last call of `rows` gave; it raises Unwritable."""

    control: Mapping[str, int]

    def header(self, names: Sequence[str]) -> bytes: ...

    def rows(self, kept: Sequence[Sequence[Any]], results: Mapping[str, Array]) -> bytes: ...


class ChunkScorer:
    """No more than `limit` bad rows are looked for by running the model on ever smaller parts of a chunk."""

    def __init__(self, predict: Predict, read: Reader, writer: Writer, limit: int) -> None:
        self._predict, self._read, self._writer, self._limit = predict, read, writer, limit

    def __call__(self, data: bytes, first_line: int) -> Scored:
        """Raises InvalidBundle, and what is no fault of a row."""
        rows = self._read(data, first_line)
        count = len(rows.lines)
        faults: dict[int, tuple[str, str]] = {}
        parts = self._parts(rows.columns, 0, count, faults) if count else []
        results = {
            name: np.concatenate([part[name] for part in parts]) for name in (parts[0] if parts else ())
        }
        kept, data = rows.kept, b""
        places = [at for at in range(count) if at not in faults]
        if faults:
            kept = [picked(cells, places) for cells in kept]
        while places:
            try:
                data = self._writer.rows(kept, results)
                break
            except Unwritable as refused:
                good = [at for at in range(len(places)) if at not in refused.wrong]
                faults.update({places[at]: why for at, why in refused.wrong.items()})
                kept = [picked(cells, good) for cells in kept]
                results = {name: array[good] for name, array in results.items()}
                places = [places[at] for at in good]
        bad = sorted(rows.bad + [bad_row(rows.lines[at], *faults[at], rows.text(at)) for at in faults])
        if not places:
            return Scored(rows.seen, 0, bad)
        return Scored(rows.seen, len(places), bad, _totals(results), data, dict(self._writer.control))

    def _parts(
        self, columns: Mapping[str, Array], low: int, high: int, faults: dict[int, tuple[str, str]]
    ) -> list[Mapping[str, Array]]:
        """The answers to rows `low` to `high`, piece by piece; a row that fails alone goes to `faults`."""
        try:
            return [
                self._answers({name: array[low:high].copy() for name, array in columns.items()}, high - low)
            ]
        except InvalidBundle:
            raise
        except RuntimeFault as fault:
            if high - low == 1:
                name = getattr(fault, "field", "")
                faults[low] = (name, str(fault).replace(f"{name}, row 0 ", "") if name else str(fault))
                return []
        middle = (low + high) // 2
        found = self._parts(columns, low, middle, faults)
        if len(faults) > self._limit:
            return found
        return found + self._parts(columns, middle, high, faults)

    def _answers(self, columns: Mapping[str, Array], count: int) -> Mapping[str, Array]:
        results = self._predict(columns)
        for name, array in results.items():
            if array.shape[:1] != (count,):
                cause = f"{name} has the shape {list(array.shape)} for {count} rows"
                raise InvalidBundle("the model does not answer row by row", cause=cause)
        return results


def _totals(results: Mapping[str, Array]) -> dict[str, tuple[Optional[float], int]]:
    """Sums by which two runs can be compared; whole numbers and truth values are summed exactly."""
    found: dict[str, tuple[Optional[float], int]] = {}
    for name, array in results.items():
        if array.dtype.kind == "f":
            gone = ~np.isfinite(array)
            with np.errstate(over="ignore"):
                number = float(np.where(gone, 0, array).sum(dtype=np.float64))
            found[name] = (number if math.isfinite(number) else None, int(gone.sum()))
        elif array.dtype.kind in "iub":
            found[name] = (sum(array.ravel().tolist()), 0)
    return found
