"""Each answer names its request; the access log tells of it without telling what was in it."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import socket
import tempfile

import pytest

from mlship_runtime.serving.accesslog import AccessLog
from mlship_runtime.serving.tracing import RequestNames
from mlship_runtime.supervision.unfailing import Unfailing

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def ask(running, data):
    """The heads of all answers, as dicts of lower-case names."""
    with running.connect() as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        said = b""
        while part := client.recv(1 << 16):
            said += part
    heads = said.decode("latin-1").split("HTTP/1.1 ")[1:]
    lines = (head.partition("\r\n\r\n")[0].split("\r\n")[1:] for head in heads)
    return [{name.lower(): value for name, value in (line.split(": ", 1) for line in head)} for head in lines]


def get(*headers):
    return "\r\n".join(["GET /x?token=canary HTTP/1.1", "Host: here", *headers, "", ""]).encode()


def test_every_answer_has_an_id_of_its_own(start):
    heads = ask(start(), get() * 50 + b"nonsense\r\n\r\n")
    names = [head["x-request-id"] for head in heads]
    assert len(set(names)) == 51
    assert all("traceparent" not in head for head in heads)


def test_ids_are_those_of_their_process_and_counted():
    """As many as need another block of counts."""
    ones, others = RequestNames(), RequestNames()
    ids = [ones.lines({}).decode() for _ in range(600)]
    begun, _, _ = ids[0].rpartition("-")
    assert re.fullmatch("X-Request-Id: [0-9a-f]{16}", begun)
    assert ids == [f"{begun}-{number:08x}\r\n" for number in range(600)]
    assert not others.lines({}).decode().startswith(begun)


@pytest.mark.parametrize("given", ["abc-1", "8f14e45f-ceea-467f-9b36-34f6c3be6d7a", "x" * 128])
def test_an_id_that_is_well_formed_is_kept(start, given):
    (head,) = ask(start(), get(f"X-Request-ID: {given}"))
    assert head["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, 'a"b', "\xe9", "a, b"])
def test_another_id_is_not(start, given):
    (head,) = ask(start(), get(f"X-Request-ID: {given}"))
    assert head["x-request-id"] != given


def test_two_ids_are_none(start):
    (head,) = ask(start(), get("X-Request-Id: one", "X-Request-Id: two"))
    assert not {"one", "two", "one, two"} & {head["x-request-id"]}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (TRACE, True),
        (TRACE.upper(), False),
        ("ff" + TRACE[2:], False),
        ("00-" + "0" * 32 + TRACE[35:], False),
        (TRACE + "-x", False),
        ("nonsense", False),
    ],
)
def test_a_trace_is_passed_on_if_it_is_one(start, given, kept):
    (head,) = ask(start(), get(f"traceparent: {given}"))
    assert head.get("traceparent") == (given if kept else None)


def test_the_log_tells_who_asked_for_what_and_what_became_of_it(start):
    with tempfile.TemporaryFile() as file:
        running = start(log=AccessLog(file.fileno()))
        post = b"POST /model?token=canary HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n"
        post += b"Authorization: Bearer canary\r\ntraceparent: " + TRACE.encode() + b"\r\n\r\ncanary"
        heads = ask(running, post + get("X-Request-Id: mine") + post + b"nonsense\r\n\r\n")
        running.call(flushed, running)
        file.seek(0)
        text = file.read().decode()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["id"] for line in lines] == [head["x-request-id"] for head in heads]
    assert [line["method"] for line in lines] == ["POST", "GET", "POST", ""]
    assert [line["path"] for line in lines] == ["/model", "/x", "/model", ""]
    assert [line["status"] for line in lines] == [200, 200, 200, 400]
    assert [line["in"] for line in lines] == [6, 0, 6, 0]
    assert [line.get("trace") for line in lines] == [TRACE, None, TRACE, None]
    assert {line["client"] for line in lines} == {"127.0.0.1"}
    assert "canary" not in text


async def flushed(running):
    running.server.log.flush()


def test_a_full_disk_costs_lines_and_nothing_else(start):
    descriptor = os.open("/dev/full", os.O_WRONLY)
    running = start(log=AccessLog(descriptor))
    assert len(ask(running, get() * 20)) == 20
    running.call(flushed, running)
    assert running.server.log.lost == 20
    os.close(descriptor)


def test_a_stream_that_cannot_be_written_fails_nobody():
    class Full(io.StringIO):
        def write(self, text):
            raise OSError(errno.ENOSPC, "full")

    stream = Unfailing(Full())
    print("said", file=stream)
    stream.flush()
    assert stream.lost == 2
    assert stream.writable()
