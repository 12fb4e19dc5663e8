"""How a server gives up its connections: handed over at rest, else ended at the client's next request."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import tempfile
import threading
import time
from pathlib import Path

import pytest

from mlship_runtime.serving.acceptor import listen_unix
from mlship_runtime.serving.handover import VERSION, Sender
from mlship_runtime.serving.limits import Limits

REQUEST = b"GET /%b HTTP/1.1\r\nHost: here\r\n\r\n"


@pytest.fixture
def channel():
    """The path of a Unix socket, short enough wherever the tests run."""
    with tempfile.TemporaryDirectory(prefix="mlship-") as folder:
        yield str(Path(folder, "handover"))


class Draining:
    """A drain that runs beside the test; `report()` waits for it."""

    def __init__(self, running, handover=None, deadline=60.0):
        self._thread = threading.Thread(target=self._run, args=(running, handover, deadline))
        self._thread.start()

    def _run(self, running, handover, deadline):
        self._report = running.call(running.server.drain, handover, deadline)

    def report(self):
        self._thread.join(90)
        return self._report


def ask(client, name):
    client.sendall(REQUEST % name)
    return read(client)


def read(client):
    data = b""
    while b"\r\n\r\n" not in data or len(data.split(b"\r\n\r\n", 1)[1]) < length_of(data):
        part = client.recv(65536)
        if not part:
            break
        data += part
    return data


def length_of(data):
    head = data.split(b"\r\n\r\n", 1)[0].lower()
    return int(head.split(b"content-length: ")[1].split(b"\r\n")[0])


def is_idle(client, seconds=0.3):
    """Whether nothing, not even an end, comes from the server for so long."""
    client.settimeout(seconds)
    with contextlib.suppress(TimeoutError):
        client.recv(1)
        return False
    client.settimeout(60)
    return True


def settled(running, count):
    """Wait until the server has `count` connections."""
    end = time.monotonic() + 60
    while running.server.application.connections != count:
        assert time.monotonic() < end, f"{running.server.application.connections} connections"
        time.sleep(0.005)


def test_idle_connections_move_and_answer_there(start, channel):
    old, new = start(), start()
    new.call(new.server.receive_handover, channel)
    clients = [old.connect() for _ in range(50)]
    assert all(b" 200 " in ask(client, b"a") for client in clients[:25])
    settled(old, 50)
    report = Draining(old, channel).report()
    assert (report.handed, report.closed, report.cut) == (50, 0, 0)
    settled(new, 50)
    assert new.server.received == 50
    for client in clients:
        answer = ask(client, b"b")
        assert answer.endswith(b"GET /b ")
        assert b"onnection:" not in answer
        client.close()


def test_a_request_half_sent_is_finished_before_the_connection_moves(start, channel):
    old, new = start(), start()
    new.call(new.server.receive_handover, channel)
    with old.connect() as client:
        client.sendall(REQUEST[:5])
        settled(old, 1)
        time.sleep(0.1)
        draining = Draining(old, channel)
        time.sleep(0.2)
        assert new.server.received == 0
        client.sendall((REQUEST % b"half")[5:])
        assert read(client).endswith(b"GET /half ")
        assert draining.report().handed == 1
        assert ask(client, b"after").endswith(b"GET /after ")
        settled(new, 1)


def test_bytes_that_nobody_has_read_move_along(start, channel):
    """Requests keep coming while the connection moves; each is answered once, in order."""
    old, new = start(), start()
    new.call(new.server.receive_handover, channel)
    with old.connect() as client:
        names = [b"%d" % number for number in range(3000)]
        sender = threading.Thread(target=lambda: [client.sendall(REQUEST % name) for name in names])
        sender.start()
        time.sleep(0.02)
        report = Draining(old, channel).report()
        answers = b""
        while answers.count(b"GET /") < len(names):
            part = client.recv(65536)
            assert part, "the server ended the connection"
            answers += part
        sender.join()
    assert report.handed == 1
    assert [piece.split(b" ", 1)[0] for piece in answers.split(b"GET /")[1:]] == names


def test_an_answer_under_way_is_written_before_the_connection_moves(start, channel):
    old, new = start(limits=Limits(body=64 << 20)), start()
    new.call(new.server.receive_handover, channel)
    body = b"x" * (8 << 20)
    with old.connect() as client:
        client.sendall(b"POST /big HTTP/1.1\r\nHost: here\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        time.sleep(0.2)  # the answer now fills the buffers of both sides
        draining = Draining(old, channel)
        time.sleep(0.2)
        assert new.server.received == 0
        assert len(read(client)) > len(body)
        assert draining.report().handed == 1
        assert ask(client, b"after").endswith(b"GET /after ")


def no_receiver(path):
    """Nobody listens."""


def newer_receiver(path):
    return greeting(path, b"\x7f")


def dying_receiver(path):
    return greeting(path, VERSION)


def greeting(path, word):
    """A receiver that greets with `word` and is gone: what is sent to it then has not been taken."""
    listener = listen_unix(path, socket.SOCK_SEQPACKET)
    listener.setblocking(True)

    def greet():
        with listener, listener.accept()[0] as peer:
            peer.shutdown(socket.SHUT_RD)  # before the other side knows of it
            peer.send(word)

    thread = threading.Thread(target=greet)
    thread.start()
    return thread


@pytest.mark.parametrize("receiver", [no_receiver, newer_receiver, dying_receiver])
def test_without_a_taker_the_next_answer_is_the_last_one(start, channel, receiver):
    old = start()
    thread = receiver(channel)
    clients = [old.connect() for _ in range(5)]
    settled(old, 5)
    draining = Draining(old, channel)
    time.sleep(0.3)
    assert all(is_idle(client, 0.05) for client in clients)
    for client in clients:
        answer = ask(client, b"last")
        assert answer.endswith(b"GET /last ")
        assert b"\r\nConnection: close\r\n" in answer
        assert client.recv(1) == b""
        client.close()
    report = draining.report()
    assert (report.handed, report.closed, report.cut) == (0, 5, 0)
    if thread:
        thread.join(5)


class Leaving:
    """A connection at rest."""

    can_leave = True

    def __init__(self, sock):
        self.fileno = sock.fileno


def test_what_ends_while_it_waits_to_be_sent_is_neither_sent_nor_counted():
    def received(channel):
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                found += socket.recv_fds(channel, 1, 1)[1]
        return found

    async def scenario():
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs, socket.socket() as one, socket.socket() as other:
            ours.setblocking(False)
            theirs.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:  # until there is no room
                    ours.send(b"x")
            sent, ended, stays = [], Leaving(one), Leaving(other)
            sender = Sender(ours, sent.append, pytest.fail)
            sender.offer(ended)
            sender.offer(stays)
            assert list(sender.waiting) == [ended, stays]
            ended.can_leave = False
            descriptors = received(theirs)
            while sender.waiting:
                await asyncio.sleep(0.001)
                descriptors += received(theirs)
            descriptors += received(theirs)
            assert sent == [stays]
            assert len(descriptors) == 1
            for descriptor in descriptors:
                os.close(descriptor)

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_only_the_last_of_a_pipelined_batch_closes_and_none_before_a_half_read_one(start):
    old = start()
    with old.connect() as client:
        client.sendall(REQUEST[:5])
        settled(old, 1)
        time.sleep(0.1)
        draining = Draining(old)
        time.sleep(0.2)
        client.sendall((REQUEST % b"1")[5:] + REQUEST % b"2" + REQUEST[:5])
        time.sleep(0.2)
        early = client.recv(65536)
        assert early.count(b"HTTP/1.1 200") == 2
        assert b"Connection: close" not in early
        client.sendall((REQUEST % b"3")[5:] + REQUEST % b"4")
        late = b"".join(iter(lambda: client.recv(65536), b""))
    assert late.count(b"Connection: close") == 1
    assert late.index(b"GET /3 ") < late.index(b"Connection: close") < late.index(b"GET /4 ")
    assert draining.report().closed == 1


def test_at_the_deadline_idle_connections_end_with_a_fin(start):
    old = start(limits=Limits(linger=0.2))
    with old.connect() as client, old.connect() as half:
        half.sendall(b"GET / HT")
        settled(old, 2)
        started = time.monotonic()
        report = Draining(old, deadline=0.5).report()
        assert client.recv(1) == b""
        assert half.recv(1) == b""
    assert time.monotonic() - started < 3
    assert (report.handed, report.closed, report.cut) == (0, 0, 2)


def test_after_a_last_answer_late_bytes_do_not_destroy_it(start):
    """A close with bytes unread would send a reset, and a reset can overtake the answer."""
    old = start(limits=Limits(linger=1.0, body=1000))
    with old.connect() as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 900000\r\n\r\n")
        for _ in range(50):
            client.sendall(b"x" * 10000)
            time.sleep(0.002)
        assert b" 413 " in read(client)
        assert client.recv(1) == b""


def test_a_unix_socket_is_served_and_never_handed_over(start, channel):
    old, new = start(), start()
    new.call(new.server.receive_handover, channel)
    web = channel + ".web"
    old.call(old.server.serve_unix, web)
    assert Path(web).stat().st_mode & 0o777 == 0o600
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(web)
        assert ask(client, b"a").endswith(b"GET /a ")
        assert Draining(old, channel).report().handed == 0
        assert client.recv(1) == b""


def test_a_drained_server_can_serve_again(start, channel):
    old, new = start(), start()
    new.call(new.server.receive_handover, channel)
    old.call(old.server.receive_handover, channel + ".back")
    with old.connect() as client:
        settled(old, 1)
        assert Draining(old, channel).report().handed == 1
        settled(new, 1)
        assert Draining(new, channel + ".back").report().handed == 1
        assert ask(client, b"home").endswith(b"GET /home ")
    assert old.server.received == 1
    old.call(accept_again, old)
    with old.connect() as client:
        assert ask(client, b"again").endswith(b"GET /again ")


async def accept_again(running):
    running.server.accept_on(running.listener)
    await asyncio.sleep(0)


def test_stop_accepting_is_immediate_and_leaves_the_queue_to_others(start):
    old = start()
    old.call(stop, old)
    with old.connect() as client:
        client.sendall(REQUEST % b"x")
        assert is_idle(client, 0.1)
        old.call(accept_again, old)
        assert read(client).endswith(b"GET /x ")


async def stop(running):
    running.server.stop_accepting()
