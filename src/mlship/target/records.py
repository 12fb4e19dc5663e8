"""Reading what an mlship wrote at a target: its schema number first, then its fields."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from mlship.errors import TargetError

T = TypeVar("T")


class _Numbered(msgspec.Struct):
    schema_version: int = msgspec.field(name="schemaVersion")


def read_record(data: bytes, kind: type[T], *, schema: int, what: str, fix: str) -> T:
    """`data` as a `kind` of version `schema` or the one before. Raises TargetError if `what` it is is damaged
    (with `fix`) or was made by a newer mlship."""
    try:
        number = msgspec.json.decode(data, type=_Numbered).schema_version
        if number > schema:
            raise TargetError(f"{what} was made by a newer mlship", fix="Update mlship here")
        if number >= schema - 1:
            return msgspec.json.decode(data, type=kind)
        cause = f"its schema number is {number}, and this mlship reads {schema}"
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        cause = str(error)
    raise TargetError(f"{what} cannot be read", cause=cause, fix=fix)
