"""The external listener of a service on real processes: it comes, stays over deaths, moves, goes."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import time
from pathlib import Path

import pytest
from tests.targets.local.conftest import Load, Onhost, alive

from mlship_runtime.trust.tokens import Token, digest_of, new_token, write_tokens


@pytest.fixture
def tokens(tmp_path: Path) -> tuple[Path, str]:
    token, file = new_token(), tmp_path / "tokens"
    write_tokens(file, [Token("ci", digest_of(token.encode()), "2026-01-01")])
    return file, token


def deploy(onhost: Onhost, number: int, bundle, file: Path | None, port: int = 0) -> dict:
    """Stage, open, start, shift, settle, with an external listener if there is a file of tokens."""
    place = {"host": "127.0.0.1", "port": port}
    external = {"external": {**place, "tokens": str(file)}} if file else {}
    onhost.stage(number, bundle, **external)
    onhost("open", host="127.0.0.1", port=0, external=place if file else None)
    onhost("start", release=number, timeout=30)
    onhost("shift", release=number, drain=5)
    return onhost("settle", release=number, timeout=20)


def ask(port: int, token: str | None, path: str = "/v2/models/tiny/infer") -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    body = json.dumps({"inputs": [{"name": "X", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]})
    try:
        access = {"Authorization": f"Bearer {token}"} if token else {}
        connection.request("POST" if "infer" in path else "GET", path, body, access)
        return connection.getresponse().status
    finally:
        connection.close()


def closed(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


def test_it_comes_to_a_running_service_stays_and_goes(onhost, make_bundle, tokens) -> None:
    file, token = tokens
    first, second = make_bundle(2.0), make_bundle(3.0)
    inside = deploy(onhost, 1, first, None)["port"]
    with Load(inside, clients=4) as load:
        settled = deploy(onhost, 2, first, file)
        outside = settled["external"]["port"]
        assert settled["port"] == inside
        assert (ask(outside, token), ask(outside, None), ask(outside, "x")) == (200, 401, 401)
        assert (ask(outside, token, "/metrics"), ask(inside, None, "/metrics")) == (404, 200)
        assert deploy(onhost, 3, second, file)["external"]["port"] == outside, "a free port is chosen once"
        assert ask(outside, token) == 200
        deploy(onhost, 4, second, None)
        assert onhost("observe")["external"] is None
        assert closed(outside)
    assert load.failures == []
    assert load.count > 0


@pytest.mark.faults
def test_it_outlives_supervisor_and_worker(onhost, make_bundle, tokens) -> None:
    file, token = tokens
    outside = deploy(onhost, 1, make_bundle(2.0), file)["external"]["port"]
    seen = onhost("observe")
    os.kill(seen["supervisor"]["pid"], signal.SIGKILL)
    while alive(seen["supervisor"]["pid"]):
        time.sleep(0.02)
    assert ask(outside, token) == 200
    onhost("open", host="127.0.0.1", port=0, external={"host": "127.0.0.1", "port": outside})
    (worker,) = onhost.pids(1)
    os.kill(worker, signal.SIGKILL)
    assert ask(outside, token) == 200, "connections wait in the queue meanwhile"
    assert onhost.pids(1) != [worker]


@pytest.mark.faults
def test_it_moves_with_a_release(onhost, make_bundle, tokens) -> None:
    file, token = tokens
    bundle = make_bundle(2.0)
    before = deploy(onhost, 1, bundle, file)["external"]["port"]
    with socket.create_server(("127.0.0.1", 0)) as free:
        wanted = free.getsockname()[1]
    after = deploy(onhost, 2, bundle, file, port=wanted)["external"]["port"]
    assert after == wanted != before
    assert (ask(after, token), closed(before)) == (200, True)


@pytest.mark.faults
def test_a_taken_port_leaves_all_as_it_was(onhost, make_bundle, tokens) -> None:
    file, token = tokens
    outside = deploy(onhost, 1, make_bundle(2.0), file)["external"]["port"]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = {"host": "127.0.0.1", "port": taken.getsockname()[1]}
        error = onhost.refused("open", host="127.0.0.1", port=0, external=place)
    assert "another program listens there" in error["cause"]
    seen = onhost("observe")
    assert seen["supervisor"]["alive"]
    assert seen["external"]["port"] == outside
    assert ask(outside, token) == 200


def test_a_release_without_its_tokens_does_not_get_ready(onhost, make_bundle, tokens) -> None:
    file, _ = tokens
    file.unlink()
    onhost.stage(1, make_bundle(2.0), external={"host": "127.0.0.1", "port": 0, "tokens": str(file)})
    onhost("open", host="127.0.0.1", port=0, external={"host": "127.0.0.1", "port": 0})
    assert str(file) in onhost.refused("start", release=1, timeout=30)["what"]
