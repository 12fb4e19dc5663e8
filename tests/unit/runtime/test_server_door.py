"""The external listener: who comes in, what is served there, over TLS, and files that change meanwhile."""

from __future__ import annotations

import re
import socket
import ssl
import time

import pytest
from certificates import Authority

from mlship_runtime.errors import SiteError
from mlship_runtime.serving.door import Door
from mlship_runtime.serving.limits import Limits
from mlship_runtime.trust.tokens import Token, digest_of, new_token, read_tokens, write_tokens

MODEL = "/v2/models/m/infer"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"), "ca")


@pytest.fixture
def tokens(tmp_path):
    """A file of two valid tokens, and the tokens."""
    made = [new_token(), new_token()]
    file = tmp_path / "tokens"
    put(file, *made)
    return file, made


def test_a_token_is_256_random_bits_behind_a_word_that_scanners_know():
    made = [new_token() for _ in range(8)]
    assert all(re.fullmatch("mlship_[A-Za-z0-9_-]{43}", token) for token in made)
    assert len({token[:11] for token in made}) == 8


def put(file, *made):
    write_tokens(
        file, [Token(f"t{n}", digest_of(token.encode()), "2026-01-01") for n, token in enumerate(made)]
    )


@pytest.fixture
def outside(start):
    """outside(**settings) -> (running, port of a listener with such a door)."""
    listeners = []

    def make(limits=None, **settings):
        running = start(limits=limits)
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        running.call(accept, running.server, listener, Door(settings))
        return running, listener.getsockname()[1]

    yield make
    for listener in listeners:
        listener.close()


async def accept(server, listener, door):
    server.accept_on(listener, door)


def ask(port, token=None, path=MODEL, method="GET", context=None, scheme="Bearer"):
    """(status, head) of one answer."""
    access = f"Authorization: {scheme} {token}\r\n" if token is not None else ""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
        client = context.wrap_socket(plain, server_hostname="127.0.0.1") if context else plain
        client.sendall(f"{method} {path} HTTP/1.1\r\nHost: h\r\n{access}Content-Length: 0\r\n\r\n".encode())
        head = client.recv(1 << 16).decode("latin-1")
        client.close()
    return int(head.split(" ")[1]), head


def eventually(status, *asked, **how):
    """Until the answer has this status: files are read again a few times a second."""
    end = time.monotonic() + 20
    while ask(*asked, **how)[0] != status:
        assert time.monotonic() < end
        time.sleep(0.1)


def test_tokens_open_it_and_nothing_else_does(outside, tokens):
    file, made = tokens
    _, port = outside(tokens=str(file))
    assert [ask(port, token)[0] for token in made] == [200, 200]
    assert ask(port, made[0], scheme="bearer")[0] == 200
    wrong = [None, "", "x", made[0][:-1], made[0] + "x", digest_of(made[0].encode()), made[0].upper()]
    for token in wrong:
        status, head = ask(port, token)
        assert status == 401
        assert "\r\nWWW-Authenticate: Bearer" in head
        assert "\r\nConnection: close\r\n" in head
    assert ask(port, made[0], scheme="Basic")[0] == 401
    assert made[0] not in file.read_text()


def test_who_has_no_token_sends_no_body(outside, tokens):
    """It is refused from its head: nobody's megabytes are taken before he is known."""
    _, port = outside(tokens=str(tokens[0]))
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(b"POST %b HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n" % MODEL.encode())
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 401 ")


def test_tokens_change_without_a_restart(outside, tokens):
    file, (first, second) = tokens
    _, port = outside(tokens=str(file))
    third = new_token()
    put(file, second, third)
    eventually(401, port, first)
    assert (ask(port, second)[0], ask(port, third)[0]) == (200, 200)
    file.write_text("broken")  # what was valid stays so
    time.sleep(0.6)
    assert ask(port, third)[0] == 200
    put(file)
    eventually(401, port, third)


@pytest.mark.parametrize(
    "path",
    ["/metrics", "/healthz", "/readyz", "/ping", "/v2/health/ready", "/%6detrics", "/else", "/v2/../metrics"],
)
def test_what_is_for_those_inside_is_not_there(outside, tokens, path):
    running, port = outside(tokens=str(tokens[0]))
    assert ask(port, tokens[1][0], path)[0] == 404
    assert ask(running.port, None, path)[0] == 200  # the echo answers everything


def test_health_and_metrics_if_wanted(outside, tokens):
    file, made = tokens
    _, port = outside(tokens=str(file), health=True, metrics=True)
    assert ask(port, None, "/healthz")[0] == 200
    assert (ask(port, None, "/metrics")[0], ask(port, made[0], "/metrics")[0]) == (401, 200)


def client_of(authority, pair=None, least=None):
    context = ssl.create_default_context(cafile=str(authority.file))
    if pair is not None:
        context.load_cert_chain(*map(str, pair))
    if least is not None:
        context.maximum_version = least
    return context


def test_tls_with_tokens(outside, authority, tokens):
    file, made = tokens
    certificate, key = authority.issue("server")
    _, port = outside(tokens=str(file), certificate=str(certificate), key=str(key))
    assert ask(port, made[0], context=client_of(authority))[0] == 200
    assert ask(port, "wrong", context=client_of(authority))[0] == 401
    with socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert not plain.recv(1 << 16).startswith(b"HTTP")


def test_old_tls_is_refused(outside, authority, tokens):
    certificate, key = authority.issue("server")
    _, port = outside(tokens=str(tokens[0]), certificate=str(certificate), key=str(key))
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context = client_of(authority, least=ssl.TLSVersion.TLSv1_1)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        ask(port, "x", context=context)


def test_clients_certificates(outside, authority, tmp_path):
    certificate, key = authority.issue("server")
    _, port = outside(certificate=str(certificate), key=str(key), clientCa=str(authority.file))
    assert ask(port, context=client_of(authority, authority.issue("client")))[0] == 200
    strangers = Authority(tmp_path, "strangers").issue("client")
    for context in (client_of(authority), client_of(authority, strangers)):
        with pytest.raises((ssl.SSLError, ConnectionError, IndexError)):  # it ends without an answer
            ask(port, context=context)


def test_a_certificate_changes_without_a_restart(outside, authority, tokens):
    file, made = tokens
    certificate, key = authority.issue("server")
    _, port = outside(tokens=str(file), certificate=str(certificate), key=str(key))

    def serial():
        with connected(authority, port) as client:
            return client.getpeercert()["serialNumber"]

    before = serial()
    certificate.write_text("broken")
    time.sleep(0.6)
    assert serial() == before
    authority.issue("server")
    end = time.monotonic() + 20
    while serial() == before:
        assert time.monotonic() < end
        time.sleep(0.1)
    assert ask(port, made[0], context=client_of(authority))[0] == 200


def test_over_tls_slow_readers_are_told_from_idle_clients_too(outside, authority, tokens):
    file, made = tokens
    certificate, key = authority.issue("server")
    limits = Limits(write_time=0.5, rate=1 << 28, idle=1000)
    running, port = outside(limits, tokens=str(file), certificate=str(certificate), key=str(key))
    head = f"POST {MODEL} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {made[0]}\r\nContent-Length: "
    with connected(authority, port) as idle, connected(authority, port) as reader:
        reader.sendall(f"{head}{8 << 20}\r\n\r\n".encode() + bytes(8 << 20))
        end = time.monotonic() + 60
        while running.server.application.connections != 1:
            idle.sendall(f"{head}1\r\n\r\nx".encode())
            assert idle.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
            assert time.monotonic() < end
            time.sleep(0.7)
        idle.sendall(f"{head}1\r\n\r\nx".encode())
        assert idle.recv(1 << 16).startswith(b"HTTP/1.1 200 ")


def test_a_drain_ends_tls_at_the_next_answer(outside, authority, tokens):
    file, made = tokens
    certificate, key = authority.issue("server")
    running, port = outside(tokens=str(file), certificate=str(certificate), key=str(key))
    request = f"GET {MODEL} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {made[0]}\r\n\r\n".encode()
    with connected(authority, port) as client:
        client.sendall(request)
        assert b"\r\nConnection: close\r\n" not in client.recv(1 << 16)
        running.call(begin_drain, running.server)
        client.sendall(request)
        assert b"\r\nConnection: close\r\n" in client.recv(1 << 16)
        assert client.recv(1) == b""


def connected(authority, port):
    plain = socket.create_connection(("127.0.0.1", port), timeout=20)
    return client_of(authority).wrap_socket(plain, server_hostname="127.0.0.1")


async def begin_drain(server):
    import asyncio

    server.test_drain = asyncio.ensure_future(server.drain(None, 10.0))
    await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"tokens": "/nonexistent/tokens"},
        {"clientCa": "/nonexistent/ca"},
        {"tokens": "TOKENS", "certificate": "/nonexistent/crt", "key": "/nonexistent/key"},
        {"tokens": "/etc/hostname"},
    ],
)
def test_a_door_that_would_not_hold_is_none(settings, tokens):
    wanted = {key: str(tokens[0]) if value == "TOKENS" else value for key, value in settings.items()}
    with pytest.raises(SiteError):
        Door(wanted)


def test_a_file_that_others_can_write_is_none(tokens):
    tokens[0].chmod(0o666)
    with pytest.raises(SiteError, match="others"):
        read_tokens(tokens[0])
