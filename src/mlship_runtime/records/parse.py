"""Words to items: the grammar of data description entries."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Callable, NoReturn, Optional

from mlship_runtime.records.faults import CopybookError, Spot
from mlship_runtime.records.items import (
    BINARY,
    DISPLAY,
    DOUBLE,
    FLOAT,
    NATIVE,
    PACKED,
    Condition,
    Copybook,
    Item,
    Occurs,
    Renames,
)
from mlship_runtime.records.picture import read_picture
from mlship_runtime.records.source import AUTO, Word, words_of

_USAGES = {
    "DISPLAY": DISPLAY, "BINARY": BINARY, "COMP": BINARY, "COMPUTATIONAL": BINARY,
    "COMP-4": BINARY, "COMPUTATIONAL-4": BINARY, "COMP-3": PACKED, "COMPUTATIONAL-3": PACKED,
    "PACKED-DECIMAL": PACKED, "COMP-5": NATIVE, "COMPUTATIONAL-5": NATIVE, "COMP-1": FLOAT,
    "COMPUTATIONAL-1": FLOAT, "COMP-2": DOUBLE, "COMPUTATIONAL-2": DOUBLE,
}  # fmt: skip
_UNREAD = {
    "INDEX", "POINTER", "POINTER-32", "POINTER-64",
    "PROCEDURE-POINTER", "FUNCTION-POINTER", "OBJECT", "NATIONAL",
    "DISPLAY-1", "COMP-6", "COMP-X", "COMP-N", "BINARY-CHAR", "BINARY-SHORT", "BINARY-LONG", "BINARY-DOUBLE",
    "FLOAT-SHORT", "FLOAT-LONG", "UTF-8",
}  # fmt: skip
_NAME = re.compile(r"(?=.*[A-Z])[A-Z0-9][A-Z0-9_-]{0,29}(?<!-)|(?=.*[A-Z])[A-Z0-9]", re.IGNORECASE)
_FIGURATIVE = {"ZERO", "ZEROS", "ZEROES", "SPACE", "SPACES", "LOW-VALUE", "LOW-VALUES", "HIGH-VALUE",
               "HIGH-VALUES", "QUOTE", "QUOTES", "NULL", "NULLS", "ALL"}  # fmt: skip
_NUMBER = re.compile(r"[+-]?[\d.,]+")
_MOST_TIMES, _DEEPEST = 1 << 20, 49


def read_copybook(text: str, name: str = "the copybook", form: str = AUTO) -> Copybook:
    """`name` is for messages, `form` is fixed, free or auto. Raises CopybookError with line and column."""
    return _Parser(words_of(text, name, form), name).copybook()


class _Parser:
    def __init__(self, words: Sequence[Word], name: str) -> None:
        self._words, self._name, self._at = words, name, 0
        self._book = Copybook(name, [], {})
        self._open: list[Item] = []  # from the record down to the last item
        self._clauses: dict[str, Callable[[Item], None]] = {
            "REDEFINES": self._redefines, "PIC": self._pic, "PICTURE": self._pic, "USAGE": self._usage,
            "OCCURS": self._occurs, "SIGN": self._sign, "LEADING": self._sign, "TRAILING": self._sign,
            "SYNC": self._sync, "SYNCHRONIZED": self._sync, "JUST": self._just, "JUSTIFIED": self._just,
            "BLANK": self._blank, "VALUE": self._value, "VALUES": self._value,
            "EXTERNAL": self._nothing, "GLOBAL": self._nothing,
        }  # fmt: skip

    def copybook(self) -> Copybook:
        while self._at < len(self._words):
            self._entry()
        if not self._book.records:
            raise CopybookError(self._name, Spot(1, 1), "it describes no record")
        return self._book

    def _entry(self) -> None:
        word = self._take("an entry")
        if word.upper in ("COPY", "REPLACE", "EXEC", "BASIS", "INSERT"):
            self._fail(word, f"{word.upper} is not followed", fix="Give the copybook as the compiler sees it")
        if not re.fullmatch(r"\d{1,2}", word.text):
            self._fail(word, f"{word.text[:30]!r} stands where a level number is due")
        level = int(word.text)
        if level == 66:
            self._renames()
        elif level == 88:
            self._condition(word)
        elif 1 <= level <= _DEEPEST or level == 77:
            self._item(level, word.spot)
        else:
            self._fail(word, f"there is no level {level}")

    def _item(self, level: int, spot: Spot) -> None:
        item = Item(level, "", spot)
        word = self._peek()
        if word and word.upper == "FILLER":
            self._at += 1
        elif word and word.text != "." and word.upper not in self._clauses and word.upper not in _USAGES:
            item.name = self._named("a name").upper
        while (word := self._take("a full stop")).text != ".":
            if word.upper in _USAGES or word.upper in _UNREAD:
                item.usage = self._usage_of(word)
            elif word.upper in self._clauses:
                self._at -= word.upper in ("LEADING", "TRAILING")
                self._clauses[word.upper](item)
            else:
                self._fail(
                    word, f"{word.text[:30]!r} is no clause that is known", fix="Is a full stop missing?"
                )
        self._hang(item)

    def _hang(self, item: Item) -> None:
        """Put the item where its level says."""
        if item.level in (1, 77):
            self._open = []
        elif not self._open:
            self._open = [Item(0, "", item.spot)]
            self._book.records.append(self._open[0])
        while self._open and self._open[-1].level >= item.level:
            self._open.pop()
        if item.level == 77 or not self._open:
            self._book.records.append(item)
        else:
            parent = self._open[-1]
            if parent.level == 77 or parent.picture or parent.usage in (FLOAT, DOUBLE):
                raise CopybookError(
                    self._name, item.spot, f"{parent.shown} has a picture, so nothing lies in it"
                )
            parent.children.append(item)
        self._open.append(item)

    def _redefines(self, item: Item) -> None:
        item.redefines = self._named("what is redefined").upper

    def _pic(self, item: Item) -> None:
        self._skip("IS")
        word = self._take("a picture")
        if item.picture:
            self._fail(word, f"{item.shown} has two pictures")
        try:
            item.picture = read_picture(word.text)
        except ValueError as error:
            self._fail(word, str(error))

    def _usage(self, item: Item) -> None:
        self._skip("IS")
        item.usage = self._usage_of(self._take("a usage"))

    def _usage_of(self, word: Word) -> str:
        if word.upper not in _USAGES:
            self._fail(word, f"USAGE {word.upper} is not read")
        return _USAGES[word.upper]

    def _occurs(self, item: Item) -> None:
        word = self._peek()
        least = most = self._number("how often")
        if self._skip("TO"):
            most = self._number("how often")
        self._skip("TIMES")
        depending = ""
        if self._skip("DEPENDING"):
            self._skip("ON")
            depending = self._named("what it depends on").upper
            self._qualified()
        elif least != most:
            self._fail(word, f"OCCURS {least} TO {most} depends on nothing", fix="DEPENDING ON is missing")
        if not 0 <= least <= most or not 1 <= most <= _MOST_TIMES:
            self._fail(word, f"OCCURS {least} TO {most} is not between 1 and {_MOST_TIMES} times")
        item.occurs = Occurs(least if depending else most, most, depending)
        while self._skip("ASCENDING", "DESCENDING", "INDEXED"):
            self._skip("KEY")
            self._skip("IS", "BY")
            self._names()

    def _sign(self, item: Item) -> None:
        self._skip("SIGN")
        self._skip("IS")
        word = self._take("LEADING or TRAILING")
        if word.upper not in ("LEADING", "TRAILING"):
            self._fail(word, f"a sign is LEADING or TRAILING, not {word.text[:30]}")
        item.sign, item.separate = word.upper.lower(), self._skip("SEPARATE")
        self._skip("CHARACTER")

    def _sync(self, item: Item) -> None:
        self._skip("LEFT", "RIGHT")
        item.sync = True

    def _just(self, item: Item) -> None:
        self._skip("RIGHT")
        item.right = True

    def _blank(self, item: Item) -> None:
        self._skip("WHEN")
        if not self._skip("ZERO", "ZEROS", "ZEROES"):
            self._fail(self._peek(), "BLANK WHEN ZERO is meant")
        item.blank_when_zero = True

    def _value(self, item: Item) -> None:
        self._skip("IS", "ARE")
        self._values()

    def _nothing(self, item: Item) -> None:
        """A clause that says nothing about the bytes."""

    def _condition(self, level: Word) -> None:
        name = self._named("a name")
        if not self._open:
            self._fail(level, "an 88 belongs to an item, and there is none")
        if not self._skip("VALUE", "VALUES"):
            self._fail(self._peek(), f"{name.upper} has no VALUE")
        self._skip("IS", "ARE")
        values = self._values()
        self._stop()
        self._open[-1].conditions.append(Condition(name.upper, tuple(values), name.spot))

    def _renames(self) -> None:
        name = self._named("a name")
        if not self._skip("RENAMES"):
            self._fail(self._peek(), "a 66 RENAMES something")
        first = last = self._named("what is renamed")
        self._qualified()
        if self._skip("THRU", "THROUGH"):
            last = self._named("the last that is renamed")
            self._qualified()
        self._stop()
        if not self._book.records:
            self._fail(name, "a 66 belongs to a record, and there is none")
        record = self._book.records[-1].name
        self._book.renames.setdefault(record, []).append(
            Renames(name.upper, first.upper, last.upper, name.spot)
        )

    def _values(self) -> list[str]:
        found: list[str] = []
        while (word := self._peek()) and (_is_value(word) or word.upper in ("THRU", "THROUGH")):
            found.append("THRU" if word.upper == "THROUGH" else word.text)
            self._at += 1
        if not found:
            self._fail(self._peek(), "a value is missing")
        return found

    def _names(self) -> None:
        while (word := self._peek()) and word.text != "." and word.upper not in self._clauses:
            if word.upper in _USAGES or word.upper in ("ASCENDING", "DESCENDING", "INDEXED"):
                return
            self._at += 1

    def _qualified(self) -> None:
        while self._skip("OF", "IN"):
            self._named("a name")

    def _named(self, what: str) -> Word:
        word = self._take(what)
        if not _NAME.fullmatch(word.text):
            prefixed = ":" in word.text
            fix = "Put in what REPLACING puts there" if prefixed else ""
            self._fail(word, f"{word.text[:40]!r} is no name", fix=fix)
        return word

    def _number(self, what: str) -> int:
        word = self._take(what)
        if not re.fullmatch(r"\d{1,9}", word.text):
            self._fail(word, f"{word.text[:30]!r} is no number")
        return int(word.text)

    def _stop(self) -> None:
        word = self._take("a full stop")
        if word.text != ".":
            self._fail(word, f"{word.text[:30]!r} stands where a full stop is due")

    def _skip(self, *wanted: str) -> bool:
        word = self._peek()
        if word and word.upper in wanted:
            self._at += 1
            return True
        return False

    def _peek(self) -> Optional[Word]:
        return self._words[self._at] if self._at < len(self._words) else None

    def _take(self, what: str) -> Word:
        word = self._peek()
        if word is None:
            self._fail(None, f"it ends where {what} is due")
        self._at += 1
        return word

    def _fail(self, word: Optional[Word], what: str, fix: str = "") -> NoReturn:
        spot = word.spot if word else self._words[-1].spot if self._words else Spot(1, 1)
        raise CopybookError(self._name, spot, what, fix=fix)


def _is_value(word: Word) -> bool:
    return (
        word.literal or word.upper in _FIGURATIVE or (word.text != "." and bool(_NUMBER.fullmatch(word.text)))
    )
