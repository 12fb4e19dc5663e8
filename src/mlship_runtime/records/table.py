"""The records of one chunk as columns, tables of variable length included."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Optional

import numpy as np

from mlship_runtime.records import decode
from mlship_runtime.records.block import Block
from mlship_runtime.records.layout import Field
from mlship_runtime.records.schema import Schema
from mlship_runtime.records.tables import Array

ENDS, NO_NUMBER, NO_TEXT = "the record ends before it", "is not a number", "is no text in"


class Table:
    """`wrong` has the records that cannot be read at all: by index, the field and the reason."""

    def __init__(self, schema: Schema, block: Block) -> None:
        self.schema, self.block = schema, block
        self.wrong: dict[int, tuple[str, str]] = {}
        self._groups: list[tuple[Array, Block, Mapping[str, Field]]] = []
        layout = schema.layout
        if layout.variable:
            self._group()
        elif block.lengths is not None:
            self._check_length(np.arange(block.count), layout.length)

    def floats(self, column: str) -> Array:
        """NaN where there is none."""
        form = self.schema.form
        if not self._groups:
            return decode.decode_floats(self.schema.columns[column], self.block, form)
        found = np.full(self.block.count, np.nan)
        for places, block, field in self._parts(column):
            found[places] = decode.decode_floats(field, block, form)
        return found

    def whole(self, column: str) -> tuple[Array, Array]:
        """Numbers without their point, and which are none."""
        return self._exact(column, decode.decode_whole, self._whole_type(column))

    def texts(self, column: str) -> tuple[Array, Array]:
        return self._exact(column, decode.decode_texts, object)

    def blank(self, column: str) -> Array:
        """Which have no value: blanks, zero bytes, or an element beyond the last."""
        if not self._groups:
            return decode.blank_fields(self.schema.columns[column], self.block, self.schema.form)
        found = np.ones(self.block.count, bool)
        for places, block, field in self._parts(column):
            found[places] = decode.blank_fields(field, block, self.schema.form)
        return found

    def absent(self, column: str) -> Array:
        """Which records have no such element."""
        found = np.full(self.block.count, bool(self._groups))
        for places, _, _ in self._parts(column):
            found[places] = False
        return found

    def spans(self, column: str) -> Iterator[tuple[Block, Field]]:
        """Where the field lies: in all records, or in those of each length."""
        if not self._groups:
            yield self.block, self.schema.columns[column]
        for _, block, field in self._parts(column):
            yield block, field

    def reason(self, column: str, at: int) -> str:
        """Why record `at` has no good value there."""
        block, field = self.block, self.schema.columns[column]
        for places, part, fields in self._groups:
            if at in places:
                block, field, at = part, fields.get(column, field), int(np.searchsorted(places, at))
                break
        if block.lengths is not None and block.lengths[at] < field.end:
            return ENDS
        if field.kind == "text":
            return f"{NO_TEXT} {self.schema.form.page.name}"
        shown = bytes(block.bytes_at(field.offset, field.length)[at].tobytes()).hex()
        return f"X'{shown[:64]}' is no number of PIC {field.picture or field.kind.upper()}"

    def _whole_type(self, column: str) -> Any:
        return object if self.schema.columns[column].digits > 18 else np.int64

    def _exact(
        self, column: str, read: Callable[..., tuple[Array, Optional[Array]]], kind: Any
    ) -> tuple[Array, Array]:
        form = self.schema.form
        if not self._groups:
            found, bad = read(self.schema.columns[column], self.block, form)
            return found, np.zeros(self.block.count, bool) if bad is None else bad
        found = np.full(self.block.count, None if read is decode.decode_texts else 0, kind)
        wrong = np.ones(self.block.count, bool)
        for places, block, field in self._parts(column):
            found[places], bad = read(field, block, form)
            wrong[places] = False if bad is None else bad
        return found, wrong

    def _parts(self, column: str) -> Iterator[tuple[Array, Block, Field]]:
        for places, block, fields in self._groups:
            if column in fields:
                yield places, block, fields[column]

    def _group(self) -> None:
        """Records with the same numbers of elements together."""
        counts = []
        for counter in self.schema.layout.counters:
            field = next(one for one in self.schema.layout.fields if one.name == counter.name)
            found, bad = decode.decode_whole(field, self.block, self.schema.form)
            out = (found < counter.least) | (found > counter.most)
            wrong = out if bad is None else out | bad
            for at in np.flatnonzero(wrong).tolist():
                reason = f"{int(found[at])} is not between {counter.least} and {counter.most}"
                if bad is not None and bad[at]:
                    reason = NO_NUMBER
                self.wrong.setdefault(at, (counter.name, reason))
            counts.append(np.where(wrong, counter.least, found).astype(np.int64))
        matrix = np.stack(counts, axis=1)
        unique, inverse = np.unique(matrix, axis=0, return_inverse=True)
        for number, row in enumerate(unique.tolist()):
            places = np.flatnonzero(inverse.reshape(-1) == number)
            fields, length = self.schema.fields_at(tuple(row))
            self._groups.append((places, self.block.only(places), fields))
            if self.block.lengths is not None:
                self._check_length(places, length)

    def _check_length(self, places: Array, length: int) -> None:
        """Shorter ones are good as far as they go."""
        lengths = self.block.lengths
        assert lengths is not None  # noqa: S101 - asked before
        for at in places[lengths[places] > length].tolist():
            self.wrong.setdefault(
                at, ("", f"it is {int(lengths[at])} bytes long, {self.schema.layout.record} {length}")
            )
