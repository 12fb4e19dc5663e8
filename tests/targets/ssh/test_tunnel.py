"""A local port that leads to a service behind SSH: many connections, kept ones, one that moves, none left."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import pytest
from ssh_server import SshServer
from stub_service import StubAdapter, release

from mlship.errors import TargetError
from mlship.host.ssh import SshHost
from mlship.ops.tunnel import Tunnel

pytestmark = pytest.mark.server
Reach = Callable[..., SshHost]


@contextmanager
def carried(adapter: Any) -> Iterator[tuple[Tunnel, list[str]]]:
    said: list[str] = []
    tunnel = Tunnel(adapter, 0, said.append)

    def carry() -> None:
        with suppress(OSError):  # its listener is closed
            tunnel.carry()

    thread = threading.Thread(target=carry, daemon=True)
    thread.start()
    try:
        yield tunnel, said
    finally:
        tunnel.close()
        thread.join(30)
        assert not thread.is_alive()


def connection(tunnel: Tunnel) -> http.client.HTTPConnection:
    place = urlsplit(tunnel.opened.url)
    return http.client.HTTPConnection(str(place.hostname), place.port, timeout=60)


def asked(line: http.client.HTTPConnection, body: bytes) -> bytes:
    line.request("POST", "/", body)
    answer = line.getresponse()
    assert answer.status == 200
    return answer.read()


def once(tunnel: Tunnel, body: bytes) -> bytes:
    with closing(connection(tunnel)) as line:
        return asked(line, body)


def test_many_at_once_and_kept_ones(reach: Reach, sshd: SshServer) -> None:
    with release() as server, carried(StubAdapter(server.server_port, reach(sshd))) as (tunnel, said):
        lines = [connection(tunnel) for _ in range(5)]
        for turn in range(3):
            for number, line in enumerate(lines):
                body = b"%d %d" % (turn, number) * 50_000
                assert asked(line, body) == body
        assert len(server.peers) == 5, "each was kept"
        for line in lines:
            line.close()
        answers: list[bytes] = []
        shots = [
            threading.Thread(target=lambda n=n: answers.append(once(tunnel, b"%d" % n))) for n in range(12)
        ]
        for shot in shots:
            shot.start()
        for shot in shots:
            shot.join(60)
        assert sorted(answers, key=int) == [b"%d" % n for n in range(12)]
        assert said == []


def test_a_service_that_moves_and_one_that_is_gone(reach: Reach, sshd: SshServer) -> None:
    adapter = StubAdapter(None, reach(sshd))
    with pytest.raises(TargetError, match="nothing is live"):
        Tunnel(adapter, 0, print)
    with release() as first:
        adapter.port = first.server_port
        with carried(adapter) as (tunnel, said):
            assert once(tunnel, b"first") == b"first"
            first.shutdown()
            first.server_close()
            with release() as second:
                adapter.port = second.server_port
                assert once(tunnel, b"second") == b"second"
                second.shutdown()
                second.server_close()
                with pytest.raises((OSError, http.client.HTTPException)):
                    once(tunnel, b"third")
            assert len(said) == 1
            assert "nothing answers at" in said[0]


def test_a_port_that_is_taken(reach: Reach, sshd: SshServer) -> None:
    refused = pytest.raises(TargetError, match=r"cannot be opened.*Choose another --port")
    with release() as server, refused:
        Tunnel(StubAdapter(server.server_port, reach(sshd)), server.server_port, print)
