"""The control protocol from both ends, and what happens when an end goes away."""

from __future__ import annotations

import asyncio
import json
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlship_runtime.errors import Fenced, InvalidBundle, NotReady, SiteError
from mlship_runtime.supervision.control import NoAnswer, Unreachable, fault_data, fault_of, request_socket
from mlship_runtime.supervision.control import request as ask
from mlship_runtime.supervision.control_link import Link
from mlship_runtime.supervision.control_server import ControlServer, ControlThread


@pytest.fixture
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mlship-") as folder:
        yield Path(folder, "control")


async def answering(message: dict[str, Any]) -> dict[str, Any]:
    verb = message["verb"]
    if verb == "slow":
        await asyncio.sleep(0.2)
    if verb == "refuse":
        raise Fenced("no", cause="too low", fix="go away")
    if verb == "break":
        raise KeyError("release")
    return {"verb": verb, "n": message.get("n")}


@pytest.fixture
def server(place: Path) -> Iterator[Path]:
    thread = ControlThread(place, answering)
    thread.start()
    yield place
    thread.close()


def test_one_line_in_one_line_out(server: Path) -> None:
    assert ask(server, {"verb": "hello", "n": 3})["n"] == 3
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(server))
        client.sendall(b'{"verb": "a"}\n{"verb": "b"}\n')
        with client.makefile("rb") as stream:
            assert [json.loads(stream.readline())["verb"] for _ in range(2)] == ["a", "b"]


@pytest.mark.parametrize("reads", [0, 5])
def test_who_dies_before_the_answer_is_gone_and_does_not_hang(place: Path, reads: int) -> None:
    """Killed before it reads (the request cannot be sent), or with a part of it unread (a reset)."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place))
        listener.listen()

        def die() -> None:
            peer, _ = listener.accept()
            if reads:
                peer.recv(reads)
            peer.close()

        thread = threading.Thread(target=die)
        thread.start()
        with pytest.raises(Unreachable, match="was closed without an answer") as found:
            ask(place, {"verb": "shift", "padding": "x" * 500_000})
        thread.join()
    assert not isinstance(found.value, NoAnswer)


def test_who_is_silent_hangs_and_is_not_gone(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place))
        listener.listen()
        with pytest.raises(NoAnswer):
            ask(place, {"verb": "status"}, 0.1)


def test_faults_come_back_as_they_were(server: Path) -> None:
    with pytest.raises(Fenced, match=r"^no: too low\. go away$"):
        ask(server, {"verb": "refuse"})
    with pytest.raises(SiteError, match="KeyError"):
        ask(server, {"verb": "break"})
    with pytest.raises(SiteError, match="newer mlship"):
        ask(server, {"verb": "hello", "schemaVersion": 2})
    with pytest.raises(SiteError, match="JSONDecodeError"):
        raw(server, b"not json\n")


def test_one_client_that_waits_does_not_hold_up_another(server: Path) -> None:
    async def both() -> list[int]:
        slow, quick = await Link.open(server), await Link.open(server)
        waiting = asyncio.ensure_future(slow.ask("slow", n=1))
        first = await quick.ask("hello", n=2)
        assert not waiting.done()
        answers = [first["n"], (await waiting)["n"]]
        await slow.close()
        await quick.close()
        return answers

    assert asyncio.run(both()) == [2, 1]


def test_an_answer_that_comes_too_late_is_not_taken_for_the_next(server: Path) -> None:
    async def late() -> Any:
        link = await Link.open(server)
        with pytest.raises(Unreachable, match="did not answer"):
            await link.ask("slow", timeout=0.05, n=1)
        answer = await link.ask("hello", n=2)
        await link.close()
        return answer["n"]

    assert asyncio.run(late()) == 2


def test_a_descriptor_is_passed_along(place: Path) -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    async def hand_out(_: dict[str, Any]) -> dict[str, Any]:
        return {"descriptor": listener.fileno()}

    thread = ControlThread(place, hand_out)
    thread.start()
    copy = request_socket(place)
    port = listener.getsockname()[1]
    listener.close()
    with copy, socket.create_connection(("127.0.0.1", port)):
        connection, _ = copy.accept()
        connection.close()
    thread.close()


def test_nobody_there_is_unreachable(place: Path) -> None:
    with pytest.raises(Unreachable, match="nobody listens"):
        ask(place, {"verb": "hello"})
    place.touch()
    with pytest.raises(Unreachable, match="nobody listens"):
        ask(place, {"verb": "hello"})
    with socket.socket(socket.AF_UNIX) as deaf:
        place.unlink()
        deaf.bind(str(place))
        deaf.listen()
        with pytest.raises(Unreachable, match="does not answer"):
            ask(place, {"verb": "hello"}, timeout=0.1)


def test_the_end_of_a_link_is_noticed_and_fails_what_waits(place: Path) -> None:
    async def lose() -> None:
        asked = asyncio.Event()

        async def never(_: dict[str, Any]) -> dict[str, Any]:
            asked.set()
            await asyncio.sleep(60)
            return {}

        server = ControlServer(place, never)
        await server.start()
        link = await Link.open(place)
        waiting = asyncio.ensure_future(link.ask("hello"))
        await asked.wait()
        link._writer.transport.abort()
        with pytest.raises(Unreachable):
            await waiting
        await asyncio.wait_for(link.lost.wait(), 5)
        with pytest.raises(Unreachable):
            await link.ask("hello")
        await server.close()

    asyncio.run(lose())
    assert not place.exists()


@pytest.mark.parametrize("kind", [InvalidBundle, NotReady, Fenced, SiteError])
def test_faults_survive_the_wire(kind: type) -> None:
    fault = fault_of(json.loads(json.dumps(fault_data(kind("what", cause="cause", fix="fix")))))
    assert (type(fault), str(fault)) == (kind, "what: cause. fix")


def test_an_unknown_kind_is_a_site_error() -> None:
    assert type(fault_of({"kind": "from the future", "what": "x"})) is SiteError


def raw(place: Path, data: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(place))
        client.sendall(data)
        answer = json.loads(client.makefile("rb").readline())
    raise fault_of(answer["error"])
