"""How deep the brackets of a JSON document lie in one another, told without decoding it."""

from __future__ import annotations

import re

import numpy as np

_LONG = 4096  # bytes from which on numpy counts sooner
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_ALIKE = bytes.maketrans(b"{}", b"[]")
_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


def is_deeper(document: bytes, most: int) -> bool:
    """Whether more than `most` brackets lie in one another. Costs next to nothing where there are no more
    than that at all; brackets within texts do not count."""
    if _openings(document) <= most:
        return False
    depth = _depth(document, most)
    if depth is None:
        depth = _depth(_TEXT.sub(b"", document), most)
    return depth is None or depth > most


def _openings(document: bytes) -> int:
    if len(document) < _LONG:
        return document.count(b"[") + document.count(b"{")
    letters = np.frombuffer(document, np.uint8)
    return int(np.count_nonzero((letters | 0x20) == ord("{")))  # "[" and "{" differ in that bit


def _depth(document: bytes, most: int) -> int | None:
    """None if it is more than `most` and still not known, or the brackets do not match."""
    brackets = document.translate(_ALIKE, _NOT_BRACKETS)
    for depth in range(most + 1):
        if not brackets:
            return depth
        fewer = brackets.replace(b"[]", b"")
        if fewer == brackets:
            return None
        brackets = fewer
    return None
