"""What all records that mlship keeps in a Store share: a schema number, and who wrote them."""

from __future__ import annotations

import getpass
import platform
from typing import TypeVar

import msgspec

from mlship.errors import MlshipError

T = TypeVar("T")


class _Numbered(msgspec.Struct):
    schema_version: int = msgspec.field(name="schemaVersion")


def read_record(
    data: bytes, kind: type[T], *, schema: int, what: str, fix: str, error: type[MlshipError]
) -> T:
    """`data` as a `kind` of version `schema` or the one before. Raises `error` if `what` it is is damaged
    (with `fix`) or was made by a newer mlship."""
    try:
        number = msgspec.json.decode(data, type=_Numbered).schema_version
        if number > schema:
            raise error(f"{what} was made by a newer mlship", fix="Update mlship here")
        if number >= schema - 1:
            return msgspec.json.decode(data, type=kind)
        cause = f"its schema number is {number}, and this mlship reads {schema}"
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        cause = str(fault)
    raise error(f"{what} cannot be read", cause=cause, fix=fix)


def whoami() -> str:
    """user@host, as records name people."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    return f"{user}@{platform.node()}"
