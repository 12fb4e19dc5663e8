"""Content types and Accept, as far as a server must understand them (RFC 9110, 8.3 and 12.5.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Optional


def main_type(value: bytes) -> bytes:
    """`text/csv; header=absent` -> `text/csv`"""
    return value.partition(b";")[0].strip().lower()


def parameter_of(value: bytes, name: bytes) -> bytes:
    """What the parameter `name` of a content type says, in lower case; empty if it is not there."""
    for part in value.lower().split(b";")[1:]:
        key, _, said = part.strip().partition(b"=")
        if key == name:
            return said.strip(b'"')
    return b""


def chosen_type(accept: bytes, offered: Sequence[bytes], same: Mapping[bytes, bytes]) -> Optional[bytes]:
    """The one of `offered` (the best first) that the client wants most; None if it takes none. `same` has
    other names of offered types."""
    wanted: dict[bytes, float] = {}
    for part in accept.lower().split(b","):
        name = main_type(part)
        wanted[same.get(name, name) if name else b""] = _quality(part)
    rated = [(_rating(kind, wanted), kind) for kind in offered]
    best = max(rating for rating, _ in rated)
    return next((kind for rating, kind in rated if rating == best), None) if best > 0 else None


def _rating(kind: bytes, wanted: Mapping[bytes, float]) -> float:
    """The most exact range that fits counts."""
    for name in (kind, kind.partition(b"/")[0] + b"/*", b"*/*"):
        if name in wanted:
            return wanted[name]
    return 0.0


def _quality(part: bytes) -> float:
    said = parameter_of(part, b"q")
    try:
        value = float(said) if said else 1.0
    except ValueError:
        return 0.0
    return value if 0.0 <= value <= 1.0 else 0.0
