"""Hashing in a thread: the same digest, whatever the pieces are."""

from __future__ import annotations

import hashlib
import random

import pytest

from mlship_runtime.bundle.hashing import Hasher


@pytest.mark.parametrize("seed", range(5))
def test_pieces_large_and_small_in_their_order(seed: int) -> None:
    rng = random.Random(seed)
    one, two, plain = Hasher(), Hasher(), hashlib.sha256()
    for _ in range(20):
        piece = rng.randbytes(rng.choice([0, 1, 1000, 256 << 10, 1 << 20]))
        one.update(piece)
        two.update(piece)
        plain.update(piece)
    assert one.hexdigest() == two.hexdigest() == plain.hexdigest()
    assert Hasher().hexdigest() == hashlib.sha256(b"").hexdigest()
