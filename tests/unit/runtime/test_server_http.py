"""The HTTP server over real sockets, spoken to byte by byte."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import time

import numpy as np
import pytest

from mlship_runtime.model.pipeline import Pipeline
from mlship_runtime.serving.application import Application
from mlship_runtime.serving.limits import Limits

SMALL = Limits(header=1000, target=200, body=500, linger=0.3)


def read_answer(stream, *, headless=False):
    """(status, headers, body) of one answer from a socket's file; None at the end of the stream."""
    line = stream.readline()
    if not line:
        return None
    status, headers = int(line.split()[1]), {}
    for header in iter(stream.readline, b"\r\n"):
        name, _, value = header.decode().partition(":")
        headers[name.lower()] = value.strip()
    if status == 100:
        return status, headers, b""
    return status, headers, b"" if headless else stream.read(int(headers["content-length"]))


def ask(running, data, *, headless=False):
    """Everything that is answered to `data` until the server closes, then whether it closed."""
    with running.connect() as client, client.makefile("rb") as stream:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        return list(iter(lambda: read_answer(stream, headless=headless), None))


def request(method="GET", target="/x", body=b"", headers=(), version="1.1"):
    lines = [f"{method} {target} HTTP/{version}", "Host: here", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def test_pipelined_requests_are_answered_in_order(start):
    answers = ask(start(), b"".join(request("POST", f"/{n}", b"body%d" % n) for n in range(200)))
    assert [body for _, _, body in answers] == [b"POST /%d body%d" % (n, n) for n in range(200)]


def test_a_connection_is_kept_and_carries_the_common_headers(start):
    running = start()
    with running.connect() as client, client.makefile("rb") as stream:
        for number in range(3):
            client.sendall(request(target=f"/{number}"))
            status, headers, body = read_answer(stream)
            assert (status, body) == (200, b"GET /%d " % number)
            assert headers["mlship-bundle"] == "sha256:0"
            assert "connection" not in headers
        assert running.server.application.connections == 1


def test_a_request_that_comes_byte_by_byte(start):
    with start().connect() as client, client.makefile("rb") as stream:
        for byte in request("POST", "/slow", b"abc"):
            client.sendall(bytes([byte]))
        assert read_answer(stream)[2] == b"POST /slow abc"


def test_large_requests_with_one_head_come_alone_together_and_in_parts(start):
    head = b"POST /large HTTP/1.1\r\nHost: h\r\nContent-Length: 50000\r\n\r\n"
    bodies = [bytes([65 + number]) * 50_000 for number in range(9)]
    whole = [head + body for body in bodies]
    with start().connect() as client, client.makefile("rb") as stream:
        for sent, late in ((whole[:1], 0), (whole[1:2], 0), (whole[2:4], 9), (whole[4:5], 9), (whole[5:], 0)):
            data = b"".join(sent)
            client.sendall(data[: len(data) - late])
            time.sleep(0.01)
            client.sendall(data[len(data) - late :])
            for each in sent:
                assert read_answer(stream)[2] == b"POST /large " + each[len(head) :]


def test_a_chunked_body(start):
    chunks = b"3\r\nabc\r\n2;x=1\r\nde\r\n0\r\nTrailer: 1\r\n\r\n"
    head = request("POST", headers=["Transfer-Encoding: chunked"])
    assert [body for _, _, body in ask(start(), head + chunks + request())] == [b"POST /x abcde", b"GET /x "]


def test_head_has_the_length_but_no_body(start):
    ((status, headers, body),) = ask(start(), request("HEAD"), headless=True)
    assert (status, headers["content-length"], body) == (200, "8", b"")


@pytest.mark.parametrize(
    ("version", "header", "says"),
    [
        ("1.1", "Connection: close", "close"),
        ("1.0", "X: y", "close"),
        ("1.0", "Connection: keep-alive", "keep-alive"),
    ],
)
def test_who_closes(start, version, header, says):
    data = request(version=version, headers=[header])
    with start().connect() as client, client.makefile("rb") as stream:
        client.sendall(data)
        assert read_answer(stream)[1]["connection"] == says
        client.sendall(data)
        assert (read_answer(stream) is None) == (says == "close")


def test_expect_100_continue_comes_after_the_answers_before_it(start):
    running = start()
    with running.connect() as client, client.makefile("rb") as stream:
        head = request("POST", "/b", headers=["Expect: 100-continue", "Content-Length: 3"])
        client.sendall(request(target="/a") + head)
        assert read_answer(stream)[2] == b"GET /a "
        assert read_answer(stream)[0] == 100
        client.sendall(b"abc")
        assert read_answer(stream)[2] == b"POST /b abc"


def test_an_upgrade_is_not_followed_and_costs_nothing(start):
    upgrade = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"]
    answers = ask(start(), request("POST", "/a", b"abc", headers=upgrade) + request(target="/b"))
    assert [body for _, _, body in answers] == [b"POST /a abc", b"GET /b "]


CHUNK = b"80\r\n%b\r\n" % (b"x" * 128)
BAD = [
    ("garbage", b"\x00\x01\x02\r\n\r\n", 400),
    ("both lengths", request("POST", body=b"ab", headers=["Transfer-Encoding: chunked"]), 400),
    ("two lengths", request("POST", body=b"ab", headers=["Content-Length: 2"]), 400),
    ("negative length", request("POST", headers=["Content-Length: -1"]), 400),
    ("space before the colon", b"GET / HTTP/1.1\r\nHost : here\r\n\r\n", 400),
    ("bare line feeds", b"GET / HTTP/1.1\nHost: here\n\n", 400),
    ("folded header", b"GET / HTTP/1.1\r\nHost: here\r\nA: b\r\n c\r\n\r\n", 400),
    ("no host", b"GET / HTTP/1.1\r\n\r\n", 400),
    ("HTTP/2", b"GET / HTTP/2.0\r\nHost: here\r\n\r\n", 505),
    ("unknown coding", request("POST", headers=["Transfer-Encoding: gzip"]), 501),
    ("compressed", request("POST", body=b"ab", headers=["Content-Encoding: gzip"]), 415),
    ("long target", request(target="/" + "x" * 300), 414),
    ("long header", request(headers=["A: " + "x" * 2000]), 431),
    ("many headers", request(headers=[f"A{n}: b" for n in range(300)]), 431),
    ("long body", request("POST", body=b"x" * 501), 413),
    ("huge length", request("POST", headers=["Content-Length: 999999999999"]), 413),
    (
        "long chunks",
        request("POST", headers=["Transfer-Encoding: chunked"]) + b"80\r\n%b\r\n" % (b"x" * 128) * 9,
        413,
    ),
    ("CONNECT", b"CONNECT here:1 HTTP/1.1\r\nHost: here:1\r\n\r\n", 501),
    ("other expectation", request("POST", headers=["Expect: a-miracle"]), 417),
]


@pytest.mark.parametrize(("data", "status"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_what_is_no_request_is_refused_and_ends_the_connection(start, data, status):
    running = start(limits=SMALL)
    first, second = ask(running, request(target="/before") + data + request(target="/after"))
    assert first[2] == b"GET /before "
    assert second[0] == status
    assert second[1]["connection"] == "close"
    assert second[1]["mlship-bundle"] == "sha256:0"
    assert json.loads(second[2])["error"]


def test_too_long_a_body_is_told_the_limit(start):
    (answer,) = ask(start(limits=SMALL), request("POST", body=b"x" * 501))
    assert json.loads(answer[2]) == {
        "error": "the body of the request is larger than 500 bytes: send fewer rows at a time"
    }


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET / HTTP/1.1\r\nA: ", 431),
        (request("POST", headers=["Transfer-Encoding: chunked"]) + b"1\r\na\r\n0\r\nA: ", 413),
    ],
    ids=["header", "trailer"],
)
def test_a_line_that_never_ends_is_cut_off(start, head, status):
    """The parser keeps an unfinished line to itself; it must not grow there."""
    with start(limits=SMALL).connect() as client, client.makefile("rb") as stream:
        client.sendall(head)
        for _ in range(4):
            time.sleep(0.02)  # in pieces, so that no single read has it all
            client.sendall(b"x" * 1000)
        assert read_answer(stream)[0] == status


def test_a_client_that_does_not_read_is_not_read_from(start):
    """Its requests wait in the kernel; the server does not gather answers without bound."""
    running = start(limits=Limits(body=1 << 20))
    big = request("POST", "/big", b"x" * (1 << 19))
    sent = 0
    with running.connect() as client:
        client.settimeout(0.5)
        with contextlib.suppress(TimeoutError):
            while sent < 200:
                client.sendall(big)
                sent += 1
    assert 0 < sent < 100


def test_a_real_application_over_the_wire(start, make_tree):
    tree = make_tree()
    running = start(Application(Pipeline(tree), release=7))
    body = json.dumps(
        {"id": "42", "inputs": [{"name": "X", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]}
    ).encode()
    infer, live, metrics = ask(
        running,
        request("POST", "/v2/models/tiny/infer", body, ["Content-Type: application/json"])
        + request(target="/v2/health/live")
        + request(target="/metrics"),
    )
    assert infer[0] == live[0] == metrics[0] == 200
    answer = json.loads(infer[2])
    assert (answer["id"], answer["model_version"]) == ("42", tree.digest)
    assert [output["data"] for output in answer["outputs"]] == [[1], [3.0]]
    for _, headers, _ in (infer, live, metrics):
        assert headers["mlship-bundle"] == tree.digest
        assert headers["mlship-release"] == "7"
        assert headers["x-amzn-sagemaker-custom-attributes"] == f"mlship-bundle={tree.digest}"
    assert re.search(rb'mlship_requests_total\{.*route="infer",code="200"\} 1\n', metrics[2])
    assert re.search(rb"mlship_connections\{.*\} 1\n", metrics[2])
    assert np.isclose(answer["outputs"][1]["data"][0], 3.0)
