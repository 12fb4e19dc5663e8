"""While a large body is read, nothing looks for garbage; afterwards it does again."""

from __future__ import annotations

import gc

import pytest

from mlship_runtime.serving.collection import uncollected

LARGE = b" " * (1 << 20)


def test_a_large_body_is_read_without_it() -> None:
    assert uncollected(gc.isenabled, LARGE) is False
    assert uncollected(gc.isenabled, b" ") is True
    assert gc.isenabled()


def test_it_comes_back_after_a_fault() -> None:
    with pytest.raises(ZeroDivisionError):
        uncollected(lambda: 1 / 0, LARGE)
    assert gc.isenabled()


def test_who_has_switched_it_off_keeps_it_so() -> None:
    gc.disable()
    try:
        uncollected(lambda: None, LARGE)
        assert not gc.isenabled()
    finally:
        gc.enable()


@pytest.mark.parametrize("path", ["/invocations", "/v2/models/tiny/infer"])
def test_requests_are_read_so(matrix, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    switched = []
    monkeypatch.setattr(gc, "disable", lambda: switched.append(True))
    matrix.post(path, b'{"inputs": []}')
    assert switched == []
    matrix.post(path, b'{"inputs": []}' + LARGE)
    assert switched
