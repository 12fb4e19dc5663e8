"""Two releases in two processes, one listening socket: connections move under load and no request fails.

The clients are strict: they never retry; refused, reset, ended, partial and misordered answers all fail.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from mlship_runtime.serving.acceptor import listen_unix
from mlship_runtime.serving.handover import VERSION

RELEASE = str(Path(__file__).with_name("echo_release.py"))


class Release:
    def __init__(self, listener, folder, name):
        self.path = str(Path(folder, name))
        command = [sys.executable, RELEASE, str(listener.fileno()), self.path]
        self.process = subprocess.Popen(
            command, pass_fds=[listener.fileno()], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self.read() == {"ready": True}

    def order(self, **order):
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        self.process.stdin.flush()

    def read(self):
        return json.loads(self.process.stdout.readline())

    def state(self):
        self.order(do="look")
        return self.read()

    def state_with(self, seconds=30.0, **counts):
        """Its state once it has counted so many: the last connections are still in the channel when the
        sender is done, and are opened a moment after they came."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            state = self.state()
            if all(state[name] >= count for name, count in counts.items()):
                break
            time.sleep(0.02)
        return state

    def accept(self):
        self.order(do="accept")
        self.read()

    def drain(self, handover, deadline=20.0):
        """The report, and what the release has after it."""
        self.order(do="drain", handover=handover, deadline=deadline)
        return self.read(), self.read()

    def end(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as made:
        yield made


@pytest.fixture
def release(listener):
    """release(name) -> a running Release; all end with the test."""
    releases = []
    with tempfile.TemporaryDirectory(prefix="mlship-") as folder:

        def start(name):
            releases.append(Release(listener, folder, name))
            return releases[-1]

        yield start
        for each in releases:
            each.process.send_signal(signal.SIGCONT)
            each.end()


class Load:
    """Clients on a loop of their own: `keeping` connections of one request at a time, `piping` ones of four,
    `fleeting` clients with a connection per request."""

    def __init__(self, port, keeping=0, piping=0, fleeting=0):
        self.failures, self.answered, self.opened, self.asked_to_close = [], 0, 0, 0
        self._port, self._stopping = port, False
        depths = [(1, True)] * keeping + [(4, True)] * piping + [(1, False)] * fleeting
        self._thread = threading.Thread(target=asyncio.run, args=(self._run(depths),))
        self._thread.start()

    async def _run(self, depths):
        await asyncio.gather(
            *(self._client(depth, keep, random.Random(n)) for n, (depth, keep) in enumerate(depths))
        )

    async def _client(self, depth, keep, dice):
        reader = None
        try:
            while not self._stopping:
                if reader is None:
                    reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                    self.opened += 1
                if not await self._ask(reader, writer, depth, keep, dice):
                    writer.close()
                    reader = None
                await asyncio.sleep(dice.uniform(0, 0.08))
        except (OSError, asyncio.IncompleteReadError) as error:
            self.failures.append(repr(error))
        if reader is not None:
            writer.close()

    async def _ask(self, reader, writer, depth, keep, dice):
        """Send `depth` requests at once; whether the connection may be used again."""
        names = [b"/%d" % dice.randrange(10**9) for _ in range(depth)]
        close = b"" if keep else b"Connection: close\r\n"
        writer.write(b"".join(b"GET %b HTTP/1.1\r\nHost: here\r\n%b\r\n" % (name, close) for name in names))
        for name in names:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
            body = await reader.readexactly(int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0]))
            if body != name:
                self.failures.append(f"{body!r} for {name!r}")
            self.answered += 1
            if keep and b"Connection: close" in head:
                self.asked_to_close += 1
                return False
        return keep

    def stop(self):
        self._stopping = True
        self._thread.join(30)


@contextlib.contextmanager
def load_on(listener, **clients):
    load = Load(listener.getsockname()[1], **clients)
    try:
        yield load
    finally:
        load.stop()


def switch(old, new):
    """What a rollout does at the port: new accepts, then old drains into it."""
    new.accept()
    report, rest = old.drain(new.path)
    assert rest["connections"] == 0
    return report


@pytest.mark.parametrize(
    ("keeping", "piping", "fleeting"),
    [(24, 0, 0), (0, 12, 0), (12, 4, 6)],
    ids=["keeping", "piping", "mixed"],
)
def test_upgrades_under_load_fail_no_request(listener, release, keeping, piping, fleeting):
    live = release("r0")
    live.accept()
    with load_on(listener, keeping=keeping, piping=piping, fleeting=fleeting) as load:
        time.sleep(0.5)
        for number in range(1, 5):
            new = release(f"r{number}")
            report = switch(live, new)
            assert report["handed"] == new.state_with(received=report["handed"])["received"]
            assert report["cut"] == 0
            if not fleeting:
                assert (report["handed"], report["closed"]) == (keeping + piping, 0)
            live.end()
            live = new
            time.sleep(0.1)
    assert load.failures == []
    assert load.asked_to_close == 0
    if not fleeting:
        assert load.opened == keeping + piping
    assert load.answered > 500


def test_with_no_one_to_hand_over_to_every_client_is_asked_to_come_again(listener, release):
    old, new = release("old"), release("new")
    old.accept()
    with load_on(listener, keeping=20, fleeting=4) as load:
        time.sleep(0.3)
        new.accept()
        report, _ = old.drain(None)
        time.sleep(0.3)
    assert load.failures == []
    assert (report["handed"], report["cut"]) == (0, 0)
    assert load.asked_to_close == 20
    assert load.answered > 200


@pytest.fixture
def many_files():
    """As many open files as the system allows this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def connected(listener, old, count):
    """`count` idle connections to the release `old`."""
    clients = [socket.create_connection(listener.getsockname(), timeout=10) for _ in range(count)]
    end = time.monotonic() + 20
    while old.state()["connections"] < count:
        assert time.monotonic() < end
    return clients


def ask(client):
    """The answer to one request; empty if the connection has ended."""
    try:
        client.sendall(b"GET /x HTTP/1.1\r\nHost: here\r\n\r\n")
        return client.recv(65536)
    except ConnectionError:
        return b""


@pytest.mark.usefixtures("many_files")
def test_more_connections_than_the_channel_holds_are_sent_exactly_once(listener, release):
    """The receiver sleeps meanwhile, so that the sender runs into a full channel again and again."""
    old, new = release("old"), release("new")
    old.accept()
    clients = connected(listener, old, 1500)
    old.order(do="drain", handover=new.path, deadline=30.0)
    time.sleep(0.05)
    for _ in range(5):
        new.process.send_signal(signal.SIGSTOP)
        time.sleep(0.05)
        new.process.send_signal(signal.SIGCONT)
        time.sleep(0.01)
    report, _ = old.read(), old.read()
    state = new.state_with(received=1500, connections=1500)
    assert report["handed"] == state["received"] == state["connections"] == 1500
    assert all(b"200 OK" in ask(client) for client in clients)
    for client in clients:
        client.close()


@pytest.mark.usefixtures("many_files")
@pytest.mark.parametrize("dies", [True, False], ids=["dies", "hangs"])
def test_a_receiver_that_fails_in_mid_drain_costs_only_what_was_on_its_way(listener, release, dies):
    """A receiver that greets, lets its channel fill up, and does no more."""
    old = release("old")
    old.accept()
    clients = connected(listener, old, 600)
    path = old.path + ".new"
    with listen_unix(path, socket.SOCK_SEQPACKET) as receiver:
        receiver.setblocking(True)
        old.order(do="drain", handover=path, deadline=30.0)
        with receiver.accept()[0] as channel:
            channel.send(VERSION)
            time.sleep(0.3)
            if dies:
                channel.close()
            answers = ask_all(clients)
            report, _ = old.read(), old.read()
    last = [answer for answer in answers if b"Connection: close" in answer]
    assert len(last) + answers.count(b"") == 600
    assert 0 < report["handed"] == answers.count(b"")
    assert 0 < report["closed"] == len(last)
    for client in clients:
        client.close()


def ask_all(clients):
    """The answers to one request on each, empty where none comes within seconds."""
    for client in clients:
        client.setblocking(False)
        with contextlib.suppress(ConnectionError):
            client.send(b"GET /x HTTP/1.1\r\nHost: here\r\n\r\n")
    time.sleep(4)
    return [received(client) for client in clients]


def received(client):
    with contextlib.suppress(OSError):
        return client.recv(65536)
    return b""
