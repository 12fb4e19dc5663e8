"""How deep the brackets of a JSON document lie in one another, told without decoding it."""

from __future__ import annotations

import numpy as np

_LONG = 4096  # bytes from which on numpy counts sooner
_PIECE = 1 << 20  # brackets and quotes counted at a time
_OTHERS = bytes(set(range(256)) - set(b'[]{}"'))
_STEPS = np.zeros(256, np.int8)
_STEPS[list(b"[{")], _STEPS[list(b"]}")] = 1, -1


def is_deeper(document: bytes, most: int) -> bool:
    """Whether more than `most` brackets lie in one another. Costs next to nothing where there are no more
    than that at all, and one pass otherwise; brackets within texts do not count."""
    return _openings(document) > most and _depth(document) > most


def _openings(document: bytes) -> int:
    if len(document) < _LONG:
        return document.count(b"[") + document.count(b"{")
    letters = np.frombuffer(document, np.uint8)
    return int(np.count_nonzero((letters | 0x20) == ord("{")))  # "[" and "{" differ in that bit


def _depth(document: bytes) -> int:
    """The greatest depth. What stands behind a fault of the document may count, too: it is refused anyway."""
    if b"\\" in document:  # pairs first, so that a backslash which is left escapes what follows it
        document = document.replace(b"\\\\", b"").replace(b'\\"', b"")
    signs = np.frombuffer(document.translate(None, _OTHERS), np.uint8)
    depth = deepest = within = 0
    for start in range(0, len(signs), _PIECE):
        piece = signs[start : start + _PIECE]
        texts = np.cumsum(piece == ord('"'), dtype=np.int32) + within  # odd within a text
        depths = np.cumsum(_STEPS[piece] * (1 - texts % 2), dtype=np.int32) + depth
        deepest = max(deepest, int(depths.max()))
        depth, within = int(depths[-1]), int(texts[-1]) % 2
    return deepest
