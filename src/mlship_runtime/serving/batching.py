"""Requests that come within a short time of one another share one run of the model.

Off unless a target sets it: a client that is alone waits the whole time for nothing. It pays where a run
costs much however few its rows are, as in wide networks, and not where reading and writing take the time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Callable, Union

import numpy as np

from mlship_runtime.errors import SiteError
from mlship_runtime.model.datatypes import Array
from mlship_runtime.serving.answer import Answer, Application
from mlship_runtime.serving.limits import Limits
from mlship_runtime.serving.line import Line, Request, Waiter

Columns = Mapping[str, Array]
Outcome = Union[Mapping[str, Array], Exception]
Predict = Callable[[Columns], Mapping[str, Array]]


@dataclass(frozen=True)
class Batching:
    """`wait`: seconds that a request may wait for others; `rows`: so many are not kept waiting."""

    wait: float
    rows: int


def read_batching(settings: Mapping[str, Any]) -> Batching | None:
    """What a release's settings say, {wait (seconds), rows}; None if they say nothing. Raises SiteError."""
    if not settings:
        return None
    wait, rows = float(settings["wait"]), int(settings["rows"])
    if not (0 < wait <= 1 and 1 < rows <= 65536):
        raise SiteError(f"requests cannot be kept for {wait:g} s and {rows} rows")
    return Batching(wait, rows)


class BatchLine(Line):
    """A line that lets what it gets wait for company, up to `batching.wait` seconds."""

    def __init__(self, application: Application, limits: Limits, batching: Batching) -> None:
        super().__init__(application, limits)
        self._answer_many = application.answer_many
        self._wait, self._rows = batching.wait, batching.rows

    def _begin(self) -> None:
        self._loop.call_later(self._wait, self._serve)

    def add(self, waiter: Waiter, request: Request) -> bool:
        added = super().add(waiter, request)
        if added and len(self._waiters) == self._rows:
            self._loop.call_soon(self._serve)
        return added

    def _serve(self) -> None:
        """All that waits, up to `rows` requests; those behind them follow after a look at the sockets."""
        taken = list(self._take())
        now = perf_counter()
        try:
            for (waiter, since, request), answer in zip(taken, self._answers(taken, now)):
                following = waiter.answered(answer, request)
                if following is not None:
                    self._go_on(waiter, since, following, False)
        finally:
            self._rest(perf_counter())

    def _take(self) -> Iterator[tuple[Waiter, float, Request]]:
        for _ in range(min(self._rows, len(self._waiters))):
            waiter, since, request = self._waiters.popleft()
            self.held -= len(request[3])
            if not waiter.gone:
                yield waiter, since, request

    def _answers(self, taken: Sequence[tuple[Waiter, float, Request]], now: float) -> list[Any]:
        """In the order of `taken`; what needs no model or has waited too long is decided apart."""
        found: dict[int, Any] = {}
        for place, (_, since, request) in enumerate(taken):
            if request[0] is None or now - since > self._patience:
                found[place] = self._decide(request, now - since)
        left = [place for place in range(len(taken)) if place not in found]
        if left:
            answers: list[Answer] = self._answer_many([taken[place][2][:4] for place in left])
            found.update(zip(left, answers))
        return [found[place] for place in range(len(taken))]


def predict_together(predict: Predict, many: Sequence[Columns], most: int) -> list[Outcome]:
    """What `predict` gives for each of `many`, or what it raises. Those of one shape are stacked, up to
    `most` rows in one call; where that fails, each is asked for alone: none fails for another."""
    outcomes: list[Outcome] = [{}] * len(many)
    for places in _stacks(many, most):
        if len(places) > 1:
            try:
                parts = _split(
                    predict(_stacked([many[place] for place in places])), [many[p] for p in places]
                )
            except Exception:  # noqa: BLE001  whatever it was, each is asked for alone
                parts = None
            if parts is not None:
                for place, part in zip(places, parts):
                    outcomes[place] = part
                continue
        for place in places:
            try:
                outcomes[place] = predict(many[place])
            except Exception as error:  # noqa: BLE001  the caller's to tell
                outcomes[place] = error
    return outcomes


def _stacks(many: Sequence[Columns], most: int) -> Iterator[list[int]]:
    """The places of requests that go into one call: of the same names, types and shapes of a row."""
    stacks: dict[Any, tuple[int, list[int]]] = {}
    for place, columns in enumerate(many):
        kind = tuple(sorted((name, array.dtype.str, array.shape[1:]) for name, array in columns.items()))
        rows, places = stacks.get(kind, (0, []))
        size = _rows(columns)
        if places and rows + size > most:
            yield places
            rows, places = 0, []
        stacks[kind] = (rows + size, [*places, place])
    for _, places in stacks.values():
        yield places


def _rows(columns: Columns) -> int:
    return max(map(len, columns.values()), default=0)


def _stacked(many: Sequence[Columns]) -> dict[str, Array]:
    return {name: np.concatenate([columns[name] for columns in many]) for name in many[0]}


def _split(results: Mapping[str, Array], many: Sequence[Columns]) -> list[dict[str, Array]] | None:
    """Each request's rows; None if the model does not answer row by row."""
    sizes = [_rows(columns) for columns in many]
    if any(array.ndim == 0 or len(array) != sum(sizes) for array in results.values()):
        return None
    ends = np.cumsum(sizes).tolist()
    return [
        {name: array[end - size : end] for name, array in results.items()} for size, end in zip(sizes, ends)
    ]
