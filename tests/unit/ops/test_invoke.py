"""What `invoke` says of requests that are none, and of answers that refuse."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from mlship.errors import UsageError
from mlship.ops import invoke as ops_invoke
from mlship.ops.invoke import invoke


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch):
    """The line with which `invoke` refuses, of a release that answers (status, error)."""

    def run(payload: bytes, status: int = 200, error: str = "") -> str:
        answer = SimpleNamespace(status=status, body=json.dumps({"error": error}).encode(), headers={})
        adapter = SimpleNamespace(invoke=lambda asked: answer, offers=frozenset())
        service = SimpleNamespace(name="tiny", target="local", adapter=adapter)
        monkeypatch.setattr(ops_invoke, "open_service", lambda ctx, target: service)
        with pytest.raises(UsageError) as caught:
            invoke(SimpleNamespace(timeout=None), "local", payload, "application/json")
        return str(caught.value)

    return run


@pytest.mark.parametrize(
    ("payload", "what"),
    [(b"[]", "a list"), (b'"a"', "a single value"), (b"1", "a single value"), (b"{", "Expecting")],
)
def test_a_request_must_be_an_object(ask, payload: bytes, what: str) -> None:
    text = ask(payload)
    assert text.startswith("the request is not a JSON object: ")
    assert what in text
    assert "attribute" not in text


def test_too_large_a_request_is_not_sent_to_inspect(ask) -> None:
    said = ask(b"{}", 413, "the body is larger than 500 bytes: send fewer rows at a time")
    assert said.endswith("send fewer rows at a time")
    assert ask(b"{}", 400, "age is missing").endswith("age is missing. See mlship inspect")
