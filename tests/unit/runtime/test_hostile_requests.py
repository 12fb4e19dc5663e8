# ruff: noqa: E501  what is sent is to be read as it is sent
"""Shapes of requests that somebody in front may read in another way, or nobody at all: each is refused with a
status of its own, or is one request and nothing else. None is taken for more, none hangs."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlship_runtime.serving.limits import Limits
from mlship_runtime.serving.requests import Refusal, RequestReader

pytestmark = pytest.mark.timeout(60)

# (name, bytes, status of the refusal; 200 for exactly one request; None for one that is not complete)
SHAPES = [
    (
        "te chunked, chunked",
        b"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "te gzip, chunked",
        b"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        501,
    ),
    (
        "te chunked, gzip",
        b"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        400,
    ),
    ("te xchunked", b"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
    ("te identity", b"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", 501),
    ("te tab", b"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n", 200),
    ("te vt", b"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
    ("te empty", b"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n", 400),
    ("te quoted", b'POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n', 501),
    (
        "te twice",
        b"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    ("te upper", b"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n", 200),
    ("te 1.0", b"POST /x HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (
        "cl te",
        b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "te cl",
        b"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        400,
    ),
    ("cl +4", b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: +4\r\n\r\nabcd", 400),
    ("cl 0x4", b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 0x4\r\n\r\nabcd", 400),
    ("cl 4,4", b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 4,4\r\n\r\nabcd", 400),
    ("cl 4 4", b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 4 4\r\n\r\nabcd", 400),
    ("cl empty", b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\nabcd", 400),
    ("cl 4_0", b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 4_0\r\n\r\nabcd", 400),
    ("cl huge", b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999999\r\n\r\nabcd", 400),
    ("cl arabic", b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: \xd9\xa4\r\n\r\nabcd", 400),
    ("chunk size neg", b"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", 400),
    ("chunk size g", b"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\ng\r\n", 400),
    (
        "chunk size 0x1",
        b"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
        400,
    ),
    (
        "chunk size huge",
        b"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        400,
    ),
    (
        "chunk size 16 f",
        b"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\na",
        None,
    ),
    (
        "chunk size sp",
        b"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1 \r\na\r\n0\r\n\r\n",
        400,
    ),
    (
        "chunk no crlf",
        b"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
        400,
    ),
    ("chunk lf", b"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\na\n0\n\n", 400),
    (
        "chunk ext lf",
        b"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1;a\nb\r\na\r\n0\r\n\r\n",
        400,
    ),
    ("host twice", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    ("host none", b"GET / HTTP/1.1\r\n\r\n", 400),
    ("obs-fold", b"GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\n\r\n", 400),
    ("obs-fold first", b"GET / HTTP/1.1\r\n Host: h\r\n\r\n", 400),
    ("bare LF", b"GET / HTTP/1.1\nHost: h\n\n", 400),
    ("bare CR", b"GET / HTTP/1.1\rHost: h\r\r", 400),
    ("CR in value", b"GET / HTTP/1.1\r\nHost: h\r\nA: b\rc\r\n\r\n", 400),
    ("LF in value", b"GET / HTTP/1.1\r\nHost: h\r\nA: b\nContent-Length: 3\r\n\r\n", 400),
    ("NUL in value", b"GET / HTTP/1.1\r\nHost: h\r\nA: b\x00c\r\n\r\n", 400),
    ("NUL in name", b"GET / HTTP/1.1\r\nHost: h\r\nA\x00: b\r\n\r\n", 400),
    ("space colon", b"GET / HTTP/1.1\r\nHost : h\r\n\r\n", 400),
    ("no colon", b"GET / HTTP/1.1\r\nHost: h\r\nfoo\r\n\r\n", 400),
    ("empty name", b"GET / HTTP/1.1\r\nHost: h\r\n: b\r\n\r\n", 400),
    ("method lower", b"get / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("method odd", b"G@T / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("two spaces", b"GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 200),
    ("target none", b"GET HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("target space", b"GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("target relative", b"GET a HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("target absolute", b"GET http://h/a?b HTTP/1.1\r\nHost: h\r\n\r\n", 200),
    ("target ftp", b"GET ftp://h/a HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("target bracket", b"GET http://[ HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("target *", b"GET * HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("options *", b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", 200),
    ("target nul", b"GET /\x00 HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("target utf8", b"GET /\xc3\xa9 HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ("target frag", b"GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n", 200),
    ("version none", b"GET /\r\n\r\n", 505),
    ("version 2", b"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505),
    ("version 1.2", b"GET / HTTP/1.2\r\nHost: h\r\n\r\n", 400),
    ("version 0.9", b"GET / HTTP/0.9\r\nHost: h\r\n\r\n", 505),
    ("version lower", b"GET / http/1.1\r\nHost: h\r\n\r\n", 400),
    ("version 1.10", b"GET / HTTP/1.10\r\nHost: h\r\n\r\n", 400),
    ("preface h2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    ("tls", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    ("connect", b"CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n", 501),
    ("connect path", b"CONNECT /x HTTP/1.1\r\nHost: h\r\n\r\n", 501),
    (
        "expect 2",
        b"POST /x HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\na",
        400,
    ),
    ("get with body", b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", 200),
    ("crlf before", b"\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 200),
    ("conn weird", b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close, keep-alive\r\n\r\n", 200),
    ("auth twice", b"GET / HTTP/1.1\r\nHost: h\r\nAuthorization: a\r\nAuthorization: b\r\n\r\n", 400),
    ("upgrade ws", b"GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", 200),
    (
        "upgrade te",
        b"POST /x HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        400,
    ),
    ("source", b"SOURCE /x ICE/1.0\r\nHost: h\r\n\r\n", 200),
    ("rtsp", b"SETUP rtsp://h/x RTSP/1.0\r\nHost: h\r\n\r\n", 400),
]


def read(data, step=None):
    """(status of the refusal, or 200, or None), and how many requests were taken."""
    taken = []
    limits = Limits(header=1000, target=200, body=500)
    reader = RequestReader(limits, lambda *request: taken.append(request), lambda: None)
    try:
        for start in range(0, len(data), step or len(data)):
            reader.feed(data[start : start + (step or len(data))])
    except Refusal as refusal:
        return refusal.status, len(taken)
    return (None if reader.busy else 200), len(taken)


@pytest.mark.parametrize(("data", "status"), [case[1:] for case in SHAPES], ids=[case[0] for case in SHAPES])
@pytest.mark.parametrize("step", [None, 1], ids=["at once", "byte by byte"])
def test_each_has_its_answer(data, status, step):
    assert read(data, step) == (status, 1 if status == 200 else 0)


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_a_shape_with_some_bytes_changed_is_taken_or_refused(draw):
    """No other error, no hang, and never more requests than there are empty lines in what came."""
    data = bytearray(draw.draw(st.sampled_from([case[1] for case in SHAPES])))
    for _ in range(draw.draw(st.integers(1, 4))):
        place = draw.draw(st.integers(0, len(data) - 1))
        change = draw.draw(st.sampled_from(["set", "cut", "add"]))
        piece = draw.draw(
            st.sampled_from([b"\r", b"\n", b"\r\n", b" ", b"\t", b"\0", b":", b",", b"0", b"f", b"\xff"])
        )
        data[place : place + (change != "add")] = b"" if change == "cut" else piece
    status, taken = read(bytes(data) or b"x")
    assert status in (None, 200, 400, 408, 413, 414, 417, 431, 501, 505)
    assert taken <= 1 + data.count(b"\r\n\r\n")
