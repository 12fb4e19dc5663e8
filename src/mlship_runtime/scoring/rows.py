"""Rows of one chunk, read: the columns of the good ones, what is kept of them, and the bad ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional

if TYPE_CHECKING:  # NumPy is the bundle's: a worker process waits for its first word without it
    from mlship_runtime.model.datatypes import Array

_LONGEST_TEXT = 4096  # characters of a bad row that are written down


class Bad(NamedTuple):
    """A row that is not scored: its line (of Parquet: its row, from 1), the column at fault, why, and what
    it says."""

    line: int
    field: str
    reason: str
    text: str


@dataclass
class Rows:
    """`seen` counts all rows, `columns`, `kept` (one list for each kept column) and `lines` are of the good
    ones, and `text` gives the record of the good row at an index."""

    seen: int
    columns: dict[str, Array]
    kept: list[Sequence[Any]]
    lines: Sequence[int]
    text: Callable[[int], str]
    bad: list[Bad] = field(default_factory=list)


@dataclass
class Scored:
    """What became of a chunk. `totals` has, for each output of numbers, its sum (None if beyond
    every float) and how many are missing; `control` the control totals of records that are written."""

    seen: int
    good: int
    bad: list[Bad]
    totals: dict[str, tuple[Optional[float], int]] = field(default_factory=dict)
    data: bytes = b""
    control: dict[str, int] = field(default_factory=dict)


class Unwritable(Exception):
    """Rows that cannot be written as they should: of each, by its index, the field and the reason."""

    def __init__(self, wrong: dict[int, tuple[str, str]]) -> None:
        super().__init__(f"{len(wrong)} rows")
        self.wrong = wrong


def bad_row(line: int, column: str, reason: str, text: str) -> Bad:
    return Bad(line, column, reason, text[:_LONGEST_TEXT])


def picked(cells: Sequence[Any], places: Sequence[int]) -> Sequence[Any]:
    """The cells at `places`; of a column of Arrow, one of Arrow."""
    take = getattr(cells, "take", None)
    found: Sequence[Any] = take(places) if take else [cells[at] for at in places]
    return found


def listed(cells: Sequence[Any]) -> Sequence[Any]:
    """The cells as values of Python."""
    values: Sequence[Any] = cells.to_pylist() if hasattr(cells, "to_pylist") else cells
    return values


def without(rows: Rows, wrong: dict[int, tuple[str, str]]) -> Rows:
    """`rows` without those at the indexes of `wrong`, which says the column and the reason; `rows.columns`
    and the rest are as long as all of them. In the order of their lines."""
    if not wrong:
        return rows
    good = [at for at in range(len(rows.lines)) if at not in wrong]
    bad = [bad_row(rows.lines[at], *wrong[at], rows.text(at)) for at in wrong]
    text = rows.text
    return Rows(
        seen=rows.seen,
        columns={name: array[good] for name, array in rows.columns.items()},
        kept=[picked(cells, good) for cells in rows.kept],
        lines=[rows.lines[at] for at in good],
        text=lambda at: text(good[at]),
        bad=sorted(rows.bad + bad),
    )
