"""Bytes to requests: however they are cut, and whatever they are."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mlship_runtime.serving.limits import Limits
from mlship_runtime.serving.requests import Refusal, RequestReader

LIMITS = Limits(header=300, target=40, body=60)
UPGRADE = b"POST /u HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nhi"
WHOLE = [
    b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
    b"POST /p?q=1 HTTP/1.1\r\nHost: h\r\nContent-Type: text/csv\r\nContent-Length: 5\r\n\r\na,b\r\n",
    b"POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n",
    b"GET /k HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"POST /e HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
    UPGRADE,
    UPGRADE.replace(
        b"Content-Length: 2\r\n\r\nhi", b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
    ),
]
BROKEN = [
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET /" + b"x" * 100 + b" HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nA: " + b"x" * 500 + b"\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 61\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"BREW / HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00",
]


def read(parts):
    """The requests taken, then the status of the refusal if there was one, then whether one is half read."""
    taken = []
    reader = RequestReader(LIMITS, lambda *request: taken.append(request), lambda: None)
    try:
        for part in parts:
            reader.feed(part)
    except Refusal as refusal:
        return taken, refusal.status, None
    return taken, None, reader.busy


def cut(data, places):
    ends = sorted({min(place, len(data)) for place in places} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(ends)]


@given(st.lists(st.sampled_from(WHOLE), min_size=1, max_size=5), st.lists(st.integers(0, 600), max_size=12))
def test_requests_are_the_same_however_they_are_cut(messages, places):
    data = b"".join(messages)
    taken, refused, busy = read([data])
    assert (len(taken), refused, busy) == (len(messages), None, False)
    assert read(cut(data, places)) == (taken, refused, busy)


@given(st.sampled_from(WHOLE), st.sampled_from(BROKEN), st.lists(st.integers(0, 900), max_size=12))
def test_the_same_refusal_comes_however_it_is_cut(before, broken, places):
    data = before + broken + WHOLE[0]
    assert read(cut(data, places)) == read([data])


@given(st.lists(st.one_of(st.sampled_from(WHOLE + BROKEN), st.binary(max_size=40)), max_size=6))
@example([b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n", b"\x00", b"\r\n", b"\x00"])
def test_whatever_comes_is_taken_or_refused(parts):
    read(parts)


def test_one_byte_at_a_time():
    data = b"".join(WHOLE)
    assert read(data[place : place + 1] for place in range(len(data))) == read([data])


def test_headers_come_in_lower_case_and_what_is_behind_the_body_is_none():
    data = (
        WHOLE[2]
        .replace(b"Host: h", b"Host: h\r\nX-Id: 1\r\nx-ID: 2")
        .replace(b"0\r\n\r\n", b"0\r\nX-Id: 3\r\n\r\n")
    )
    (((method, target, headers, body, _),), refused, busy) = read([data])
    assert (method, target, body, refused, busy) == (b"POST", b"/c", b"abcd", None, False)
    assert headers == {b"host": b"h", b"x-id": b"1, 2", b"transfer-encoding": b"chunked"}


SAME_HEAD = b"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n"
HEADS = [SAME_HEAD, UPGRADE.replace(b"Length: 2\r\n\r\nhi", b"Length: 5\r\n\r\n")]
BODIES = [b"12345", b"54321", b"\r\n\r\n\r", b"GET /", b"\r\nGET"]
BETWEEN = [b"", b"\r\n", b"\r\n\r\n", b"\n", b"x", b"\r"]
MESSAGES = st.tuples(*map(st.sampled_from, (BETWEEN, HEADS, BODIES, BETWEEN)))


@given(st.lists(MESSAGES, max_size=6))
@example([(b"", SAME_HEAD, b"\r\nGET", b"\r\n"), (b"", SAME_HEAD, b"12345", b"")])
@example([(b"\r\n\r\n", SAME_HEAD, b"12345", b""), (b"", SAME_HEAD, b"\r\n\r\n\r", b"")])
def test_a_head_that_was_seen_before_means_what_it_meant(messages):
    """Fed message by message, where heads are known again, as fed byte by byte, where none is."""
    parts = [b"".join(message) for message in messages]
    assert read(parts) == read([bytes([byte]) for byte in b"".join(parts)])


def test_a_head_that_is_known_is_not_parsed_again():
    taken = []
    reader = RequestReader(LIMITS, lambda *request: taken.append(request), lambda: None)
    reader.feed(SAME_HEAD + b"12345")
    reader._parser = None
    reader.feed(SAME_HEAD + b"54321")
    assert [body for *_, body, _ in taken] == [b"12345", b"54321"]
    assert taken[0][2] == taken[1][2]
    assert taken[0][2] is not taken[1][2], "one request's headers are not another's"


LARGE = b"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 9000\r\n\r\n"


def fed_in_pieces(data):
    """A reader that has read `data` piece by piece and was told so, and what it took."""
    taken = []
    reader = RequestReader(Limits(), lambda *request: taken.append(request), lambda: None)
    for at in range(0, len(data), 4096):
        reader.feed(memoryview(data)[at : at + 4096])
    reader.remember(data, 0)
    return reader, taken


def test_the_head_of_a_large_request_is_known_too():
    reader, taken = fed_in_pieces(LARGE + b"a" * 9000)
    assert reader.feed_known(LARGE + b"b" * 9000)
    assert [body for *_, body, _ in taken] == [b"a" * 9000, b"b" * 9000]
    assert not reader.feed_known(LARGE + b"b" * 8999)
    assert not reader.feed_known(LARGE.replace(b"/p", b"/q") + b"b" * 9000)


@pytest.mark.parametrize(
    "data",
    [
        LARGE + b"a" * 9000 + SAME_HEAD + b"12345",
        LARGE + b"a" * 8999,
        LARGE + b"a" * 9000 + SAME_HEAD[:9],
    ],
    ids=["two", "a part", "and a part"],
)
def test_what_was_not_one_large_request_is_not_known(data):
    reader, _ = fed_in_pieces(data)
    assert not reader.feed_known(data)
    assert not reader.feed_known(LARGE + b"b" * 9000)


@pytest.mark.parametrize("message", WHOLE[2:5], ids=["chunked", "1.0", "expect"])
def test_what_depends_on_more_than_its_head_is_parsed_each_time(message):
    reader = RequestReader(LIMITS, lambda *request: None, lambda: None)
    reader.feed(message)
    assert not reader._whole


def test_who_may_come_in_is_asked_each_time():
    asked = []
    reader = RequestReader(
        LIMITS, lambda *request: None, lambda: None, lambda target, headers: asked.append(target)
    )
    for _ in range(3):
        reader.feed(WHOLE[1])
    assert len(asked) == 3
