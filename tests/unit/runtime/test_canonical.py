"""Canonical JSON: one text per value, nothing ambiguous taken."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlship_runtime.bundle import canonical
from mlship_runtime.errors import InvalidBundle

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=5)
    ),
    max_leaves=20,
)


@given(values)
def test_what_is_written_reads_back_equal_and_is_written_the_same_again(value: object) -> None:
    text = canonical.encode(value)
    assert canonical.decode(text) == value
    assert canonical.encode(canonical.decode(text)) == text


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        value = canonical.decode(data)
    except InvalidBundle:
        return
    assert json.loads(data) == value


def test_form() -> None:
    value = {"b": [1, 1.5, -0.0, 1e100], "a": {"é": None, "z": True}, "B": "\u2028\n"}
    expected = '{"B":"\u2028\\n","a":{"z":true,"é":null},"b":[1,1.5,-0.0,1e+100]}'
    assert canonical.encode(value) == expected.encode()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b'{"a":1,"b":2,"a":1}', "'a' stands twice"),
        (b'[{"x":{"k":1,"k":1}}]', "'k' stands twice"),
        (b"[NaN]", "NaN"),
        (b"[-Infinity]", "-Infinity"),
        (b"[1e999]", "too large"),
        (b"[123456789012345678901]", "64 bits"),
        (b"[" + b"9" * 100_000 + b"]", "64 bits"),
        (b'["\\ud800"]', "surrogates"),
        (b'["\xff"]', "utf-8"),
        (b"\xef\xbb\xbf[]", "BOM"),
        (b"[1] [2]", "Extra data"),
        (b"", "Expecting value"),
        (b"[" * 33 + b"]" * 33, "32 levels"),
        (b"[" * 1_000_000, "32 levels"),
        (b'{"a":' * 100_000, "32 levels"),
    ],
)
def test_refused(text: bytes, why: str) -> None:
    with pytest.raises(InvalidBundle) as caught:
        canonical.decode(text)
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


def test_as_deep_and_as_long_as_allowed() -> None:
    assert canonical.decode(b"[" * 32 + b"]" * 32)
    assert canonical.decode(b"[1]", max_bytes=3) == [1]
    with pytest.raises(InvalidBundle, match="4 bytes, more than the 3"):
        canonical.decode(b"[12]", max_bytes=3)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), b"bytes", {"a": object()}, "\ud800"])
def test_what_json_cannot_say_is_not_written(value: object) -> None:
    with pytest.raises(InvalidBundle):
        canonical.encode([value])
