"""What a server bears: slow clients, too many of them, too much at once. Limits are small, waits generous."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time

import pytest

from mlship_runtime.errors import SiteError
from mlship_runtime.serving.answer import Answer, error_answer
from mlship_runtime.serving.limits import Limits, read_limits

QUICK = Limits(header_time=0.2, body_time=0.2, write_time=0.2, idle=0.2, linger=0.2, rate=1 << 28)
GET = b"GET /now HTTP/1.1\r\nHost: here\r\n\r\n"
POST = b"POST /model HTTP/1.1\r\nHost: here\r\nContent-Length: %d\r\n\r\n%b"


class Slow:
    """An application whose model takes `seconds`; `begun` counts how often it ran."""

    headers = b"Mlship-Bundle: sha256:0\r\n"

    def __init__(self, seconds=0.0, size=0):
        self.connections = self.waiting = self.begun = 0
        self.seconds, self.size = seconds, size

    def answer(self, method, target, headers, body):
        if method == b"POST":
            self.begun += 1
            time.sleep(self.seconds)
        return Answer(200, b"%b %d" % (method, len(body)) + b"x" * self.size, b"text/plain")

    def refuse(self, status, message):
        return error_answer(status, message)


def all_of(client):
    """Everything until the server ends the connection."""
    data = b""
    while part := client.recv(1 << 16):
        data += part
    return data


def statuses(data):
    return [int(part[:3]) for part in data.split(b"HTTP/1.1 ")[1:]]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\nHo", 408),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc", 408),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", 408),
        (b"", None),
        (GET, 200),
    ],
    ids=["header", "body", "chunk", "silent", "idle"],
)
def test_who_is_too_slow_is_told_and_ended(start, sent, status):
    with start(limits=QUICK).connect() as client:
        client.sendall(sent)
        answer = all_of(client)
    assert statuses(answer) == ([status] if status else [])
    assert (b"Connection: close" in answer) == (status == 408)


def test_a_body_that_comes_fast_enough_is_waited_for(start):
    limits = Limits(body_time=0.3, rate=10)
    with start(limits=limits).connect() as client:
        client.sendall(POST % (30, b""))
        for _ in range(10):  # 3 bytes in 0.1 s: 30 bytes a second
            time.sleep(0.1)
            client.sendall(b"abc")
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 200 ")


def test_trickling_keeps_nobody_beyond_the_time_of_a_request(start):
    limits = Limits(header_time=0.5, request_time=0.6, body_time=5, linger=0.2)
    with start(limits=limits).connect() as client:
        client.sendall(POST % (1000, b""))
        end = time.monotonic() + 20
        with contextlib.suppress(ConnectionError):
            while time.monotonic() < end:
                client.sendall(b"x")
                time.sleep(0.02)
        assert time.monotonic() < end


def test_who_does_not_take_his_answers_is_cut_off(start):
    running = start(Slow(size=1 << 20), QUICK)
    with running.connect() as client:
        client.sendall(GET * 50)
        assert client.recv(1)
        end = time.monotonic() + 20
        while running.server.application.connections != 0:
            assert time.monotonic() < end
            time.sleep(0.02)


def small(running):
    """A client with a small window."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(20)
    client.connect(("127.0.0.1", running.port))
    return client


@pytest.mark.parametrize("more", [b"", b"GET /late HTTP/1.1\r\nHo"], ids=["idle", "asks"])
def test_who_does_not_take_what_the_kernel_holds_for_him_is_cut_off(start, more):
    """The answer has left the server; its client looks idle, or as if it asked for more."""
    limits = Limits(write_time=0.3, rate=1 << 28, idle=1000, header_time=1000)
    running = start(Slow(size=100_000), limits)
    with small(running) as client:
        client.sendall(GET + more)
        with contextlib.suppress(ConnectionError):  # it may be over before we look
            assert client.recv(1, socket.MSG_PEEK)
        settled(running, 0)


def test_who_takes_his_answers_slowly_is_waited_for(start):
    """Neither idle nor at its end, though all has left the server: longer than either may take."""
    limits = Limits(write_time=10.0, rate=1000, idle=0.1, linger=0.1)
    with small(start(Slow(size=50_000), limits)) as client:
        client.sendall(GET * 6 + GET.replace(b"Host", b"Connection: close\r\nHost"))
        data, reads = b"", 0
        while part := client.recv(100_000):
            data, reads = data + part, reads + 1
            if reads % 40 == 0:
                time.sleep(0.4)
    assert statuses(data) == [200] * 7
    assert len(data) > 7 * 50_000


def settled(running, count):
    end = time.monotonic() + 60
    while running.server.application.connections != count:
        assert time.monotonic() < end
        time.sleep(0.02)


class Ended:
    """The transport of a TLS connection that has ended, of which the connection does not know yet."""

    def get_write_buffer_size(self):
        return 0

    def is_closing(self):
        return False

    def get_extra_info(self, name):
        return None


def test_a_sweep_may_meet_a_connection_that_has_just_ended(start):
    running = start()
    with running.connect() as client:
        client.sendall(GET)
        assert client.recv(1 << 16)
        (connection,) = running.server._connections

        async def sweep():
            kept, connection._transport = connection._transport, Ended()
            connection._written += 1
            connection.sweep(0.0)
            connection._transport = kept

        running.call(sweep)
        client.sendall(GET)
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 200 ")


def test_answers_are_not_gathered_for_who_does_not_take_them(start):
    application = Slow(size=1 << 20)
    with start(application).connect() as client:
        client.sendall(POST % (0, b"") * 100)
        time.sleep(0.5)
        assert application.begun < 60  # what fits into the buffers of both kernels, and little more
        data, wanted = 0, 100 * (1 << 20)
        while data < wanted:
            data += len(client.recv(1 << 20))
    assert application.begun == 100


def test_many_requests_on_one_connection_are_all_answered_in_order(start):
    """More than may wait: the rest is left unread until there is room, and none is refused."""
    with start(Slow(), Limits(pipeline=4)).connect() as client, client.makefile("rb") as stream:
        sizes = list(range(300))
        sender = threading.Thread(
            target=lambda: client.sendall(b"".join(POST % (size, b"x" * size) + GET for size in sizes))
        )
        sender.start()
        bodies = [read_body(stream) for _ in range(600)]
        sender.join()
    assert bodies == [body for size in sizes for body in (b"POST %d" % size, b"GET 0")]


def read_body(stream):
    length = 0
    for line in iter(stream.readline, b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return stream.read(length)


def test_a_client_that_ends_its_side_gets_its_answers(start):
    with start(Slow(0.05)).connect() as client:
        client.sendall(POST % (1, b"a") * 3)
        client.shutdown(socket.SHUT_WR)
        assert statuses(all_of(client)) == [200, 200, 200]


@pytest.mark.parametrize("before", [b"", POST % (1, b"a"), GET * 2])
@pytest.mark.parametrize("part", [GET[:9], GET[:-2], POST % (9, b"abc")], ids=["line", "head", "body"])
def test_a_request_that_its_client_does_not_end_is_refused_behind_the_others(start, before, part):
    with start(Slow(0.05)).connect() as client:
        client.sendall(before + part)
        client.shutdown(socket.SHUT_WR)
        said = all_of(client)
    assert statuses(said) == [200] * before.count(b"HTTP/1.1") + [400]
    assert said.count(b"Connection: close") == 1


def test_the_line_is_short_and_health_does_not_stand_in_it(start):
    """20 requests at once for a model that takes 0.1 s, of which 4 may wait: the others hear it at once."""
    application = Slow(0.1)
    running = start(application, Limits(queue=4))
    clients = [running.connect() for _ in range(20)]
    try:
        for client in clients:
            client.sendall(POST % (1, b"a"))
        with running.connect() as health:
            health.sendall(GET)
            assert health.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
        said = [client.recv(1 << 16) for client in clients]
    finally:
        for client in clients:
            client.close()
    refused = [answer for answer in said if statuses(answer) == [503]]
    assert application.begun == 20 - len(refused)
    assert 0 < len(refused) < 20
    assert all(b"\r\nRetry-After: 1\r\n" in answer and b"close" not in answer for answer in refused)


def test_how_many_wait_is_told(start):
    waited = []

    class Told(Slow):
        def __setattr__(self, name, value):
            super().__setattr__(name, value)
            if name == "waiting":
                waited.append(value)

    running = start(Told(0.02))
    clients = [running.connect() for _ in range(12)]
    for client in clients:
        client.sendall(POST % (1, b"a"))
    assert [statuses(client.recv(1 << 16)) for client in clients] == [[200]] * 12
    for client in clients:
        client.close()
    assert 0 < max(waited) < 12
    end = time.monotonic() + 20
    while waited[-1]:  # the last answer is out a moment before
        assert time.monotonic() < end
        time.sleep(0.01)


def test_who_has_waited_too_long_is_told_so_without_the_model(start):
    application = Slow(0.05)
    running = start(application, Limits(queue_time=0.2))
    clients = [running.connect() for _ in range(60)]
    try:
        for client in clients:
            client.sendall(POST % (1, b"a"))
        codes = [code for client in clients for code in statuses(client.recv(1 << 16))]
    finally:
        for client in clients:
            client.close()
    assert sorted(set(codes)) == [200, 503]
    assert application.begun == codes.count(200)


def test_a_short_line_may_wait(start):
    """Few clients of a slow model are no overload."""
    application = Slow(0.2)
    running = start(application, Limits(queue_time=0.05))
    clients = [running.connect() for _ in range(6)]
    for client in clients:
        client.sendall(POST % (1, b"a"))
    assert [statuses(client.recv(1 << 16)) for client in clients] == [[200]] * 6
    for client in clients:
        client.close()


class Held(Slow):
    """Its model runs as long as it is held."""

    def __init__(self):
        super().__init__()
        self.ends = threading.Semaphore(0)

    def answer(self, method, target, headers, body):
        answer = super().answer(method, target, headers, body)
        assert method != b"POST" or self.ends.acquire(timeout=30)
        return answer

    def has_begun(self, count):
        end = time.monotonic() + 30
        while self.begun < count:
            assert time.monotonic() < end
            time.sleep(0.01)


def test_the_model_does_not_run_for_who_has_left(start):
    application = Held()
    running = start(application)
    first, second, gone, last = (running.connect() for _ in range(4))
    for number, client in enumerate((first, second, gone, last)):
        client.sendall(POST % (1, b"a"))
        application.has_begun(min(number + 1, 1))
    application.ends.release()
    application.has_begun(2)  # the others have been read when the second one's turn comes
    gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    gone.close()  # with a reset; a mere end could be that of a client that waits for its answer
    assert first.recv(1 << 16)
    application.ends.release(2)
    assert all(client.recv(1 << 16).startswith(b"HTTP/1.1 200 ") for client in (second, last))
    assert application.begun == 3
    assert running.server.line.held == 0
    for client in (first, second, last):
        client.close()


def test_bodies_that_nobody_completes_are_bounded_together(start):
    running = start(limits=Limits(buffered=100_000))
    clients = [running.connect() for _ in range(4)]
    for client in clients[:3]:
        client.sendall(POST % (60_000, b"x" * 30_000))
    time.sleep(0.3)
    clients[3].sendall(POST % (60_000, b"x" * 30_000))
    assert statuses(clients[3].recv(1 << 16)) == [503]
    for client in clients[:3]:
        client.sendall(b"x" * 30_000)
    codes = [code for client in clients[:3] for code in statuses(client.recv(1 << 16))]
    assert 200 in codes
    for client in clients:
        client.close()
    end = time.monotonic() + 60
    while running.server.line.held:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_one_connection_too_many_is_told_so(start):
    running = start(limits=Limits(connections=3, linger=0.3))
    kept = [running.connect() for _ in range(3)]
    for client in kept:
        client.sendall(GET)
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
    with running.connect() as other:
        answer = all_of(other)
        assert statuses(answer) == [503]
        assert b"\r\nRetry-After: 1\r\n" in answer
        assert json.loads(answer.split(b"\r\n\r\n")[1])["error"]
    kept.pop().close()
    end = time.monotonic() + 60
    while True:
        with running.connect() as other:
            other.sendall(GET)
            if other.recv(1 << 16).startswith(b"HTTP/1.1 200 "):
                break
        assert time.monotonic() < end
        time.sleep(0.05)
    for client in kept:
        client.close()


def test_far_too_many_wait_in_the_kernel_and_come_in_later(start):
    running = start(limits=Limits(connections=2, linger=1.0))
    clients = [running.connect() for _ in range(100)]
    for client in clients:
        with contextlib.suppress(ConnectionError):  # it has been told, and its time is over
            client.sendall(GET)
    said = []
    for client in clients:
        said.append(statuses(client.recv(1 << 16))[0])
        client.close()
    assert sorted(set(said)) == [200, 503]


def test_limits_are_read_from_settings():
    found = read_limits({"headerTime": 2, "body": 10}, {"body": 20})
    assert (found.header_time, found.body, found.rows) == (2, 20, Limits().rows)


@pytest.mark.parametrize(
    "wrong", [{"cofee": 1}, {"body": 0}, {"body": "8 MB"}, {"idle": -1}, {"rows": 1.5}, {"queue": True}]
)
def test_what_is_no_limit_is_refused(wrong):
    with pytest.raises(SiteError):
        read_limits(wrong)


def test_workers_share_what_is_the_releases():
    each = Limits(connections=100, queue=9).share(4)
    assert (each.connections, each.queue, each.header) == (25, 3, Limits().header)


def test_a_client_that_leaves_in_the_middle_of_its_answer_costs_nobody(start):
    running = start(Slow(size=8 << 20))
    with running.connect() as other:
        for _ in range(5):
            with running.connect() as client:
                client.sendall(POST % (1, b"a") * 3)
                assert client.recv(1000)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        other.sendall(GET)
        assert other.recv(15).startswith(b"HTTP/1.1 200 ")
        end = time.monotonic() + 20
        while running.server.application.connections != 1 or running.server.line.held:
            assert time.monotonic() < end
            time.sleep(0.02)
