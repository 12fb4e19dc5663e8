"""By which way a service is asked: an endpoint that is reached from here, or the connection to its host."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stub_service import StubAdapter, release

from mlship.errors import TargetError, UsageError
from mlship.ops.ways import Caller, ask
from mlship.target.deployment import Endpoint
from mlship_runtime.client import Request

ASKED = Request("/invocations", b"{}")
NOBODY = Caller()


@pytest.fixture(scope="module")
def inside() -> Iterator[Any]:
    with release() as server:
        yield server


@pytest.fixture(scope="module")
def outside() -> Iterator[Any]:
    with release("secret") as server:
        yield server


@pytest.fixture
def showing(tmp_path: Path) -> Caller:
    (tmp_path / "token").write_text("secret\n")
    return Caller(token_file=str(tmp_path / "token"))


def internal(server: Any, only_on: str = "deploy@h1") -> Endpoint:
    return Endpoint(kind="internal", url=f"http://127.0.0.1:{server.server_port}", only_on=only_on)


def external(server: Any) -> Endpoint:
    return Endpoint(kind="external", url=f"http://127.0.0.1:{server.server_port}", asks=("token",))


def test_a_loopback_endpoint_there_is_reached_by_tunnel(inside: Any) -> None:
    adapter = StubAdapter(inside.server_port, endpoints=(internal(inside),))
    answer, via = ask(adapter, ASKED, NOBODY, None)
    assert (answer.status, answer.body, via) == (200, b"{}", "tunnel")
    with pytest.raises(TargetError, match=r"no endpoint can be reached from here: .* \(only on deploy@h1\)"):
        ask(adapter, ASKED, NOBODY, "endpoint")


def test_a_loopback_endpoint_here_is_reached(inside: Any) -> None:
    adapter = StubAdapter(None, endpoints=(internal(inside, "this machine"),))
    adapter.port = 1  # where nobody is: the tunnel would fail
    assert ask(adapter, ASKED, NOBODY, None)[1] == "endpoint"
    with pytest.raises(TargetError):
        ask(adapter, ASKED, NOBODY, "tunnel")


def test_who_has_a_token_is_let_in_at_the_endpoint(inside: Any, outside: Any, showing: Caller) -> None:
    adapter = StubAdapter(inside.server_port, endpoints=(internal(inside, "this machine"), external(outside)))
    before = len(outside.peers)
    assert ask(adapter, ASKED, showing, None)[0].status == 200
    assert len(outside.peers) == before + 1, "who shows a token means the endpoint that asks for it"


def test_who_has_none_goes_by_tunnel(
    inside: Any, outside: Any, showing: Caller, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    adapter = StubAdapter(inside.server_port, endpoints=(internal(inside), external(outside)))
    assert ask(adapter, ASKED, NOBODY, None)[1] == "tunnel"
    with pytest.raises(UsageError, match="asks for a token"):
        ask(adapter, ASKED, NOBODY, "endpoint")
    monkeypatch.setenv("MLSHIP_TOKEN", "wrong")
    answer, via = ask(adapter, ASKED, NOBODY, None)
    assert (answer.status, via) == (401, "endpoint"), "what it answers is told, whatever it is"
    with pytest.raises(UsageError, match="cannot be used"):
        ask(adapter, ASKED, Caller(token_file=str(tmp_path / "none")), None)


def test_an_endpoint_that_takes_no_connections(inside: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        gone = Endpoint(kind="external", url=f"http://127.0.0.1:{taken.getsockname()[1]}")
        adapter = StubAdapter(inside.server_port, endpoints=(gone,))
        assert ask(adapter, ASKED, NOBODY, None)[1] == "tunnel"
        with pytest.raises(TargetError, match="no endpoint can be reached"):
            ask(adapter, ASKED, NOBODY, "endpoint")


def test_nothing_live_and_no_tunnel() -> None:
    with pytest.raises(TargetError, match="nothing is live"):
        ask(StubAdapter(None), ASKED, NOBODY, None)
    other = StubAdapter(None, offers=frozenset())
    assert ask(other, ASKED, NOBODY, None)[0].body == b"by the adapter"
    with pytest.raises(TargetError, match="no connection to tunnel through"):
        ask(other, ASKED, NOBODY, "tunnel")
