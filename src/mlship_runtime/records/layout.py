"""Where each field of a record lies: items laid out in bytes, tables unrolled, redefinitions side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn, Optional

from mlship_runtime.errors import BadInput
from mlship_runtime.records.faults import CopybookError
from mlship_runtime.records.items import (
    BINARY,
    DISPLAY,
    DOUBLE,
    FLOAT,
    NATIVE,
    PACKED,
    Copybook,
    Item,
)
from mlship_runtime.records.picture import TEXT, Picture

ZONED = "zoned"
WHOLE = (ZONED, PACKED, BINARY, NATIVE)  # kinds that hold digits
LONGEST = 32760  # bytes of a record
_MOST_FIELDS = 1 << 15
_BINARY_DIGITS = 18


@dataclass(frozen=True)
class Field:
    """An elementary item, or one element of a table. `name` is COBOL's, with subscripts, `column` the one in
    tables and schemas, with indexes from 0. `kind` is text, zoned, comp-3, comp, comp-5, comp-1 or comp-2.
    `view` names the redefinition it belongs to; `needs` has, for each variable table it is in, the counter
    and how often it must occur."""

    name: str
    column: str
    offset: int
    length: int
    kind: str
    picture: str
    digits: int = 0
    scale: int = 0
    signed: bool = False
    leading: bool = False
    separate: bool = False
    right: bool = False
    filler: bool = False
    view: str = ""
    needs: tuple[tuple[str, int], ...] = ()
    path: tuple[str, ...] = ()

    @property
    def end(self) -> int:
        return self.offset + self.length


@dataclass(frozen=True)
class Depended:
    """An item on which a table depends."""

    name: str
    least: int
    most: int


@dataclass(frozen=True)
class Layout:
    """`length` is that of the longest record, `shortest` of the shortest. `renames` are level 66 as (name,
    offset, length)."""

    record: str
    length: int
    shortest: int
    fields: tuple[Field, ...]
    counters: tuple[Depended, ...]
    renames: tuple[tuple[str, int, int], ...]
    item: Item
    book: str

    @property
    def variable(self) -> bool:
        return bool(self.counters)

    def named(self, column: str) -> Optional[Field]:
        """The field of that column, or of that name in COBOL."""
        return next((field for field in self.fields if column in (field.column, field.name)), None)

    def at(self, counts: Mapping[str, int]) -> tuple[Field, ...]:
        """The fields of a record whose counters have these values, and no more of them."""
        found, seen = [], Counter[tuple[Any, ...]]()
        columns = _columns_by_place(self.fields)
        for field in _Placing(self.item, self.book, counts).fields():
            key = (field.path, field.name)
            place = (*key, seen[key])
            found.append(replace(field, column=columns[place]))
            seen[key] += 1
        return tuple(found)

    def length_at(self, counts: Mapping[str, int]) -> int:
        placing = _Placing(self.item, self.book, counts)
        placing.fields()
        return placing.length


def _columns_by_place(fields: tuple[Field, ...]) -> dict[tuple[Any, ...], str]:
    """The column of each field, by path, name and which of that name it is."""
    found, seen = {}, Counter[tuple[Any, ...]]()
    for field in fields:
        key = (field.path, field.name)
        place = (*key, seen[key])
        found[place] = field.column
        seen[key] += 1
    return found


def layout_of(book: Copybook, record: str = "") -> Layout:
    """The layout of the record of that name, or of the only one. Raises CopybookError for what has no place,
    BadInput for a record that is not there."""
    item = _chosen(book, record)
    placing = _Placing(item, book.name, None)
    fields = _with_columns(placing.fields())
    counters = _counters(item, book.name, fields)
    least = {counter.name: counter.least for counter in counters}
    shortest = _Placing(item, book.name, least)
    shortest.fields()
    if placing.length > LONGEST:
        raise CopybookError(
            book.name, item.spot, f"a record of {placing.length} bytes is longer than {LONGEST}"
        )
    renames = tuple(_renamed(book, item, fields))
    return Layout(item.shown, placing.length, shortest.length, fields, counters, renames, item, book.name)


def _chosen(book: Copybook, record: str) -> Item:
    names = ", ".join(item.shown for item in book.records)
    if record:
        found = [item for item in book.records if item.name == record.upper()]
        if not found:
            raise BadInput(f"{book.name} has no record {record}", cause=f"it has {names}")
        return found[0]
    if len(book.records) > 1:
        raise BadInput(
            f"{book.name} describes {len(book.records)} records", cause=names, fix="Say which: --record NAME"
        )
    return book.records[0]


class _Placing:
    """One walk over a record; `counts` None means that each table is as long as can be."""

    def __init__(self, item: Item, book: str, counts: Optional[Mapping[str, int]]) -> None:
        self._item, self._book, self._counts = item, book, counts
        self._found: list[Field] = []
        self.length = 0

    def fields(self) -> tuple[Field, ...]:
        self._found = []
        self.length = self._place(self._item, 0, _Within())
        return tuple(self._found)

    def _place(self, item: Item, offset: int, within: _Within) -> int:
        """Lay out `item` from `offset`, as often as it occurs; gives the bytes it takes."""
        within = within.inside(item)
        if item.occurs is None:
            return self._one(item, offset, within)
        if item.level in (1, 77):
            self._fail(item, "a record does not occur several times")
        if self._has_sync(item):
            self._fail(
                item, f"SYNC in the table {item.shown} is not read", "Write its slack bytes out as FILLER"
            )
        times = item.occurs.most
        if item.occurs.depending and self._counts is not None:
            times = self._counts[item.occurs.depending]
        at = offset
        for number in range(1, times + 1):
            at += self._one(item, at, within.element(item, number))
        return at - offset

    def _one(self, item: Item, offset: int, within: _Within) -> int:
        if not item.children:
            return self._leaf(item, offset, within)
        if item.picture is not None:
            self._fail(item, f"{item.shown} has a picture and items")
        at = offset
        places: dict[str, tuple[int, int, Item]] = {}
        for child in item.children:
            if child.redefines:
                start, room = self._over(child, within, places)
            else:
                start, room = at, self._place(child, at, within)
            if child.name:
                places[child.name] = (start, room, child)
            at = max(at, start + room)
        return at - offset

    def _over(
        self, child: Item, within: _Within, places: Mapping[str, tuple[int, int, Item]]
    ) -> tuple[int, int]:
        """Lay out a redefinition; gives where, and the room it has."""
        start, room, other = self._redefined(child, places)
        size = self._place(child, start, replace(within, view=child.name or f"FILLER@{child.spot.line}"))
        if size > room:
            what = f"{child.shown} is {size} bytes long, {other.shown}, which it redefines, {room}"
            self._fail(child, what)
        return start, room

    def _redefined(self, child: Item, places: Mapping[str, tuple[int, int, Item]]) -> tuple[int, int, Item]:
        if child.redefines not in places:
            self._fail(
                child, f"{child.redefines}, which {child.shown} redefines, is no item before it of its level"
            )
        start, room, other = places[child.redefines]
        if any(item.occurs and item.occurs.depending for item in (*child.walk(), *other.walk())):
            self._fail(child, f"{child.shown} redefines what has no fixed length")
        if self._has_sync(child):
            self._fail(
                child, f"SYNC in {child.shown}, which redefines, is not read", "Write its slack bytes out"
            )
        return start, room, other

    def _leaf(self, item: Item, offset: int, within: _Within) -> int:
        field = self._form(item, within)
        slack = -offset % _alignment(field) if within.sync else 0
        name = (item.name or "FILLER") + within.subscripts
        self._found.append(
            replace(
                field,
                name=name,
                offset=offset + slack,
                filler=not item.name,
                view=within.view,
                needs=within.needs,
                path=(*within.path, item.name) if item.name else within.path,
            )
        )
        if len(self._found) > _MOST_FIELDS:
            self._fail(item, f"there are more than {_MOST_FIELDS} fields")
        return slack + field.length

    def _form(self, item: Item, within: _Within) -> Field:
        """Kind and length."""
        usage, picture = within.usage or DISPLAY, item.picture
        blank = Field("", "", 0, 0, usage, picture.text if picture else "")
        if usage in (FLOAT, DOUBLE):
            if picture:
                self._fail(item, f"{item.shown} is {usage.upper()} and has a picture")
            return replace(blank, length=4 if usage == FLOAT else 8, signed=True)
        if picture is None:
            self._fail(item, f"{item.shown} has neither a picture nor items")
        if item.blank_when_zero:
            self._fail(item, f"{item.shown} is BLANK WHEN ZERO: it is edited for print, which is no data")
        if picture.kind == TEXT:
            if usage != DISPLAY or item.sign:
                what = f"{item.shown} is PIC {picture.text}, which is neither {usage.upper()} nor signed"
                self._fail(item, what)
            return replace(blank, kind=TEXT, length=picture.length, right=item.right)
        if item.sign and not picture.signed:
            self._fail(item, f"{item.shown} has a SIGN clause and a picture without S")
        return self._number(item, picture, blank, within)

    def _number(self, item: Item, picture: Picture, blank: Field, within: _Within) -> Field:
        number = replace(blank, digits=picture.digits, scale=picture.scale, signed=picture.signed)
        if blank.kind == DISPLAY:
            separate = within.separate and picture.signed
            leading = within.sign == "leading" and picture.signed
            length = picture.digits + separate
            return replace(number, kind=ZONED, length=length, leading=leading, separate=separate)
        if blank.kind == PACKED:
            return replace(number, length=picture.digits // 2 + 1)
        if picture.digits > _BINARY_DIGITS:
            what = f"{item.shown} is binary with {picture.digits} digits, more than {_BINARY_DIGITS}"
            self._fail(item, what)
        return replace(number, length=2 if picture.digits < 5 else 4 if picture.digits < 10 else 8)

    @staticmethod
    def _has_sync(item: Item) -> bool:
        return any(part.sync for part in item.walk())

    def _fail(self, item: Item, what: str, fix: str = "") -> NoReturn:
        raise CopybookError(self._book, item.spot, what, fix=fix)


@dataclass(frozen=True)
class _Within:
    """What the groups around an item say of it."""

    usage: str = ""
    sign: str = ""
    separate: bool = False
    sync: bool = False
    view: str = ""
    subscripts: str = ""
    needs: tuple[tuple[str, int], ...] = ()
    path: tuple[str, ...] = ()

    def inside(self, item: Item) -> _Within:
        found = replace(self, usage=item.usage or self.usage, sync=self.sync or item.sync)
        if item.sign:
            found = replace(found, sign=item.sign, separate=item.separate)
        if item.children and item.name:
            found = replace(found, path=(*self.path, item.name))
        return found

    def element(self, item: Item, number: int) -> _Within:
        before = self.subscripts[1:-1] + "," if self.subscripts else ""
        needs = self.needs
        if item.occurs and item.occurs.depending:
            needs = (*needs, (item.occurs.depending, number))
        return replace(self, subscripts=f"({before}{number})", needs=needs)


def _alignment(field: Field) -> int:
    """Of SYNC items: halfwords, words; COMP-2 on doublewords."""
    if field.kind in (BINARY, NATIVE):
        return min(field.length, 4)
    return field.length if field.kind in (FLOAT, DOUBLE) else 1


def _with_columns(fields: tuple[Field, ...]) -> tuple[Field, ...]:
    """Each with the name of its column: the item's, or as many groups before it as tell it from others."""
    plain = [field for field in fields if not field.filler]
    there = Counter((field.path, field.name) for field in plain)
    wanted = {field.path for field in plain}
    endings = Counter(path[-length:] for path in wanted for length in range(1, len(path) + 1))
    found = []
    for field in fields:
        path = field.path
        length = next((size for size in range(1, len(path) + 1) if endings[path[-size:]] == 1), len(path))
        base = "_".join(path[-length:]) if not field.filler else f"filler_{field.offset}"
        if there[(path, field.name)] > 1 and not field.filler:
            base += f"_at_{field.offset}"
        found.append(replace(field, column=(base + _indexes(field.name)).lower().replace("-", "_")))
    return tuple(found)


def _indexes(name: str) -> str:
    if "(" not in name:
        return ""
    return "".join(f"_{int(number) - 1}" for number in name[name.index("(") + 1 : -1].split(","))


def _counters(item: Item, book: str, fields: tuple[Field, ...]) -> tuple[Depended, ...]:
    """The items on which tables depend: whole numbers that stand before the first of those tables."""
    found: dict[str, Depended] = {}
    first = min((field.offset for field in fields if field.needs), default=0)
    for part in item.walk():
        if not part.occurs or not part.occurs.depending:
            continue
        name = part.occurs.depending
        field = next((field for field in fields if field.name == name), None)
        if field is None or field.kind not in WHOLE or field.scale:
            raise CopybookError(
                book, part.spot, f"{part.shown} depends on {name}, which is no whole number here"
            )
        if field.offset > first or field.needs:
            raise CopybookError(
                book, part.spot, f"{name}, on which {part.shown} depends, stands behind a table that varies"
            )
        before = found.get(name, Depended(name, part.occurs.least, part.occurs.most))
        found[name] = Depended(name, max(before.least, part.occurs.least), min(before.most, part.occurs.most))
    return tuple(found.values())


def _renamed(book: Copybook, item: Item, fields: tuple[Field, ...]) -> Iterator[tuple[str, int, int]]:
    for renames in book.renames.get(item.name, ()):
        spans = []
        for name in (renames.first, renames.last):
            inside = [field for field in fields if name in field.path]
            if not inside:
                raise CopybookError(
                    book.name, renames.spot, f"{name}, which {renames.name} renames, is not there"
                )
            spans.append((min(field.offset for field in inside), max(field.end for field in inside)))
        if spans[1][1] <= spans[0][0]:
            raise CopybookError(book.name, renames.spot, f"{renames.last} stands before {renames.first}")
        yield renames.name, spans[0][0], spans[1][1] - spans[0][0]
