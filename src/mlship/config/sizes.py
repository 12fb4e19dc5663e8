"""Sizes as people write them: `200 MB`."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec

_SIZE = re.compile(r"(\d{1,6}(?:\.\d{1,3})?) ?(kB|MB|GB)")
_UNITS = {"kB": 10**3, "MB": 10**6, "GB": 10**9}
Size = Annotated[str, msgspec.Meta(pattern="^" + _SIZE.pattern + "$", title="200 MB")]
SizeOrNone = Annotated[str, msgspec.Meta(pattern=f"^(?:{_SIZE.pattern})?$", title="200 MB, or empty")]


def bytes_of(text: str) -> int | None:
    """The bytes of a size; None if `text` is none."""
    match = _SIZE.fullmatch(text)
    return round(float(match[1]) * _UNITS[match[2]]) if match else None
