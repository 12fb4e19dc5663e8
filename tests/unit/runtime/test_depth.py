"""How deep JSON is, told by its brackets alone."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlship_runtime.serving import depth as depths
from mlship_runtime.serving.depth import is_deeper

VALUES = st.recursive(
    st.one_of(st.none(), st.text(max_size=6), st.sampled_from(["[[", '"]', "\\", '{"'])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=30,
)


def depth(value):
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    return 0


@given(VALUES, st.integers(0, 8))
def test_it_is_what_decoding_would_tell(value, most):
    assert is_deeper(json.dumps(value).encode(), most) == (depth(value) > most)


@given(VALUES, st.integers(0, 8))
def test_it_is_the_same_piece_by_piece(value, most):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(depths, "_PIECE", 3)
        assert is_deeper(json.dumps(value).encode(), most) == (depth(value) > most)


def test_pieces_are_looked_at_once(monkeypatch):
    document = b"[" * 200_000 + b'"' + b"[" * 50_000 + b'"' + b"]" * 200_000
    looked = []
    sizes = depths.np.cumsum
    monkeypatch.setattr(depths, "_PIECE", 100_000)
    monkeypatch.setattr(depths.np, "cumsum", lambda *a, **k: looked.append(len(a[0])) or sizes(*a, **k))
    assert is_deeper(document, 100_000)
    assert not is_deeper(document, 200_000)
    assert sum(looked) == 2 * 2 * len(document)


@pytest.mark.parametrize("document", [b"[" * 1_000_000, b'{"a":' * 1_000_000, b"[" * 65 + b"]" * 65])
def test_a_bomb_is_too_deep(document):
    assert is_deeper(document, 64)


def test_many_rows_are_not_deep():
    assert not is_deeper(json.dumps({"inputs": [[1, 2]] * 100_000}).encode(), 3)
