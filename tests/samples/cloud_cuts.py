"""Cuts a long write or read of a store behind the network, in every way a connection can fail, and looks at
what came of it: done or refused in time, and no more than one part sent again."""

from __future__ import annotations

import hashlib
import random
import time
from typing import Any

from cutting_proxy import KINDS, RETRY_AFTER, Cut

PART = 5 << 20
DATA = random.Random(4).randbytes(2 * PART + (1 << 20))
KEY = "blobs/sha256/" + hashlib.sha256(DATA).hexdigest()
TIME_LIMIT = 20.0
PARTS = {"s3": "partNumber=2", "azblob": "comp=block&.*blockid=MDAwMDEt"}  # the second part or block
ANY_PART = {"s3": "partNumber=", "azblob": "comp=block&"}
__all__ = ["DATA", "KEY", "KINDS", "PART", "offsets", "read_cut_at", "write_cut_at"]


def offsets(count: int, end: int, seed: object) -> list[int]:
    """So many places, the first and the last among them."""
    return sorted([0, end, *random.Random(str(seed)).sample(range(1, end), count - 2)])


def write_cut_at(cloud: Any, offset: int, kind: str) -> None:
    """A write of which the second part fails after `offset` bytes."""
    url = cloud.fresh()
    cut = Cut(kind, "PUT", PARTS[cloud.scheme], offset)
    cloud.proxy.cuts[:] = [cut]
    cloud.proxy.seen.clear()
    began = time.monotonic()
    assert cloud.store(url, PART).write_if_absent(KEY, pieces(), len(DATA))
    took = time.monotonic() - began
    assert cut.hit, "the cut did not happen"
    assert took < TIME_LIMIT
    assert kind != "429" or took >= RETRY_AFTER, "Retry-After was not kept"
    sent = cloud.proxy.of("PUT", ANY_PART[cloud.scheme])
    assert len(sent) == 3 + 1
    assert sum(request.sent for request in sent) <= len(DATA) + PART
    cloud.proxy.cuts.clear()
    assert b"".join(cloud.store(url).read(KEY)) == DATA


def read_cut_at(cloud: Any, offset: int, kind: str) -> None:
    """A read of which the answer fails after `offset` bytes."""
    url = cloud.fresh()
    cloud.store(url, PART).write_if_absent(KEY, pieces(), len(DATA))
    cut = Cut(kind, "GET", KEY, offset, down=True)
    cloud.proxy.cuts[:] = [cut]
    cloud.proxy.seen.clear()
    began = time.monotonic()
    assert b"".join(cloud.store(url).read(KEY)) == DATA
    assert cut.hit, "the cut did not happen"
    assert time.monotonic() - began < TIME_LIMIT
    went = sum(request.received for request in cloud.proxy.of("GET", KEY))
    assert went <= len(DATA) + PART, "more was fetched again than what was cut off"


def pieces() -> list[bytes]:
    return [DATA[at : at + 700_000] for at in range(0, len(DATA), 700_000)]
