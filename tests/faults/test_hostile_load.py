"""A server under clients that are slow on purpose, and under ten times what it can answer."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(240)

SAMPLES = Path(__file__).parents[1] / "samples"
STAY = 10  # seconds that the clients of a siege stay after its end
POST = b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}"


@contextlib.contextmanager
def server(seconds, **limits):
    """(port, pid) of a server whose model takes so long."""
    command = [sys.executable, str(SAMPLES / "loaded_server.py"), str(seconds), json.dumps(limits)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        yield int(process.stdout.readline()), process.pid
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def resident(pid):
    """MiB of memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def p99(times):
    return statistics.quantiles(times, n=100)[-1]


def times_of_good_clients(port, seconds):
    """Of one who asks 50 times a second on one connection; every answer must be 200."""
    taken = []
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            began = time.perf_counter()
            client.sendall(POST)
            assert client.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
            taken.append(time.perf_counter() - began)
            time.sleep(0.02)
    return taken


def connections(pid, port):
    """How many connections to its port the process has (proc(5), net/tcp)."""
    local = f":{port:04X}"
    held = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # it has been closed in this moment
            held.add(str(entry.readlink()))
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    listening = "0A"
    return sum(f"socket:[{row[9]}]" in held for row in rows if row[1].endswith(local) and row[3] != listening)


def besieged(heads, bodies, readers, seconds, **limits):
    """p99 of good clients before and during the siege, what became of the others, MiB of memory, and how many
    connections the server had in its first seconds and has in the end, while nobody has left by himself (a
    client with no window may never hear that it was reset)."""
    with server(0.0005, **limits) as (port, pid):
        before = p99(times_of_good_clients(port, seconds / 2))
        words = [str(port), str(heads), str(bodies), str(readers), str(seconds + STAY)]
        command = [sys.executable, str(SAMPLES / "slow_clients.py"), *words]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as others:
            came, end = 0, time.monotonic() + seconds
            during: list[float] = []
            while time.monotonic() < end:
                during += times_of_good_clients(port, 1.0)
                came = max(came, connections(pid, port))
            while (left := connections(pid, port)) and time.monotonic() < end + 2:  # the good one's, too
                time.sleep(0.1)
            assert time.monotonic() < end + STAY, "too late to tell who has left by himself"
            told = json.loads(others.communicate(timeout=120)[0])
        return before, p99(during), told, resident(pid), came, left


@pytest.mark.faults
def test_slow_clients_are_ended_and_good_ones_answered():
    limits = {"headerTime": 1, "bodyTime": 1, "writeTime": 2, "linger": 1}
    _, _, told, memory, came, left = besieged(40, 40, 20, 10, queueTime=10, **limits)
    assert came >= 20, "those who read nothing, at least, stay for two seconds"
    assert left == 0
    for kind, count in (("head", 40), ("body", 40)):
        assert len(told[kind]) == count
        assert None not in told[kind], f"{kind}: some were never ended"
    assert memory < 300


@pytest.mark.slow
def test_a_siege_of_a_minute_doubles_nobodys_p99():
    """The defaults, but that whoever must wait while hundreds come at once does."""
    before, during, told, memory, came, left = besieged(500, 500, 200, 60, queueTime=10)
    print(f"p99 {before * 1e3:.2f} ms before, {during * 1e3:.2f} ms during; {memory:.0f} MiB")
    print(f"{came} connections at most, {left} in the end")
    assert came >= 200
    assert left == 0, "all of the 1,200 are ended"
    for kind, most in (("head", 5), ("body", 15)):
        longest = max(after if after is not None else 1e9 for after in told[kind])
        print(f"{kind}: all {len(told[kind])} ended, the last after {longest:.1f} s")
        assert longest < most + 10  # the clients look twice a second, and share the machine
    assert during <= 2 * before + 0.002


@pytest.mark.faults
def test_ten_times_too_much_is_answered_or_told_and_soon_forgotten():
    """200 connections without a pause, for a model that answers 200 requests a second one after the other."""
    codes: dict[bytes, int] = {}
    failures: list[str] = []
    lock, stop = threading.Lock(), threading.Event()

    def hammer(port):
        with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
            while not stop.is_set():
                try:
                    client.sendall(POST)
                    code = client.recv(1 << 16)[9:12]
                except OSError as error:
                    with lock:
                        failures.append(str(error))
                    return
                with lock:
                    codes[code] = codes.get(code, 0) + 1

    with server(0.005, queueTime=0.3) as (port, pid):
        before = resident(pid)
        threads = [threading.Thread(target=hammer, args=(port,)) for _ in range(200)]
        for thread in threads:
            thread.start()
        time.sleep(6)
        memory = resident(pid)
        stop.set()
        for thread in threads:
            thread.join()
        time.sleep(1.0)
        with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
            client.sendall(POST)
            assert client.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
    assert failures == []
    assert set(codes) == {b"200", b"503"}
    assert min(codes.values()) > 100
    assert memory < before + 60
