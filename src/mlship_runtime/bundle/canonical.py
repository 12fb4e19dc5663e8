"""Canonical JSON: one value, one text; and a reader that takes nothing ambiguous.

The form follows RFC 8785 in spirit: sorted keys, no spaces, UTF-8, no NaN. Keys are sorted by code point and
floats are written as Python's repr (the shortest text that reads back equal), the same on every platform.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from mlship_runtime.errors import InvalidBundle

MAX_BYTES = 4 << 20
MAX_DEPTH = 32
_LONGEST_INTEGER = 20  # characters of the longest 64-bit integer


def encode(obj: Any) -> bytes:
    """`obj` as canonical JSON; raises InvalidBundle for what JSON cannot say (NaN, half characters)."""
    try:
        text = json.dumps(obj, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return text.encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidBundle("a value cannot be written as JSON", cause=str(error)) from error


def decode(data: bytes, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH) -> Any:
    """Read JSON strictly; raises InvalidBundle for duplicate keys, NaN, infinity, integers beyond 64 bits,
    half characters, more than `max_bytes` bytes or `max_depth` levels."""
    if len(data) > max_bytes:
        raise _refused(f"{len(data)} bytes, more than the {max_bytes} allowed")
    try:
        text = data.decode("utf-8")
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_int=_integer,
            parse_float=_float,
        )
    except RecursionError:
        raise _too_deep(max_depth) from None
    except ValueError as error:  # bad UTF-8 and bad JSON alike
        raise _refused(str(error)) from error
    if isinstance(value, (dict, list)):
        _check_depth(value, max_depth)
    if "\\u" in text:
        encode(value)  # only an escape can bring in half a character
    return value


def _refused(cause: str) -> InvalidBundle:
    return InvalidBundle("JSON of a bundle cannot be read", cause=cause)


def _too_deep(limit: int) -> InvalidBundle:
    return _refused(f"nested more than {limit} levels deep")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen = set()
        for key, _ in pairs:
            if key in seen:
                raise _refused(f"the key {key[:80]!r} stands twice in one object")
            seen.add(key)
    return found


def _no_constant(text: str) -> NoReturn:
    raise _refused(f"{text} is not a JSON number")


def _integer(text: str) -> int:
    if len(text) > _LONGEST_INTEGER:
        raise _refused("an integer has more than 64 bits")
    return int(text)


def _float(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise _refused("a number is too large")
    return value


def _check_depth(value: Any, limit: int) -> None:
    level = [value]
    for _ in range(limit):
        level = [
            below
            for item in level
            for below in (item.values() if isinstance(item, dict) else item)
            if isinstance(below, (dict, list))
        ]
        if not level:
            return
    raise _too_deep(limit)
