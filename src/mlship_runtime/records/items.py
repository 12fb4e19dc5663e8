"""A copybook as it is written: a tree of items, each with what its clauses say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Optional

from mlship_runtime.records.faults import Spot
from mlship_runtime.records.picture import Picture

DISPLAY, BINARY, PACKED, NATIVE, FLOAT, DOUBLE = "display", "comp", "comp-3", "comp-5", "comp-1", "comp-2"


@dataclass(frozen=True)
class Occurs:
    """`least` to `most` times; `depending` names the item that says how often, or is empty."""

    least: int
    most: int
    depending: str = ""


@dataclass(frozen=True)
class Condition:
    """An 88: a name for some values, as written; a range is two values with `THRU` between them."""

    name: str
    values: tuple[str, ...]
    spot: Spot


@dataclass(frozen=True)
class Renames:
    """A 66: another name for the items from `first` to `last`."""

    name: str
    first: str
    last: str
    spot: Spot


@dataclass
class Item:
    """Level 1 to 49 or 77. `name` is empty of FILLER. `usage` is empty where nothing is said, `sign` is
    `leading` or `trailing`."""

    level: int
    name: str
    spot: Spot
    picture: Optional[Picture] = None
    usage: str = ""
    occurs: Optional[Occurs] = None
    redefines: str = ""
    sign: str = ""
    separate: bool = False
    sync: bool = False
    right: bool = False
    blank_when_zero: bool = False
    children: list[Item] = field(default_factory=list)
    conditions: list[Condition] = field(default_factory=list)

    @property
    def shown(self) -> str:
        return self.name or "FILLER"

    def walk(self) -> Iterator[Item]:
        """This item and all beneath it, in their order."""
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass
class Copybook:
    """`records` are the items of level 01 and 77 (one without a name where the copybook begins below 01)."""

    name: str
    records: list[Item]
    renames: dict[str, list[Renames]]
