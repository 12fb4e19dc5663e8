"""The server goes away in the middle of a push or a pull, and comes back.

Azurite is stopped and started on what it has kept. The server for S3 keeps everything in memory, so it stays
and cannot be reached for as long: connections are broken off, and new ones refused.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cloud_stores import azure_cloud, s3_cloud

from mlship.errors import RegistryError
from mlship.store.asking import Patience
from mlship.store.protocol import Store

pytestmark = [pytest.mark.faults, pytest.mark.server]

PATIENT = Patience(attempts=12, pause=0.25, longest=3, connect=5, stall=10, total=90)
PARTS = 12
PART_SIZE = {"s3": 5 << 20, "azblob": 1 << 20}  # S3 takes no smaller ones
SENT = {"s3": "partNumber=", "azblob": "comp=block&"}


@pytest.fixture(params=["azblob", "s3"])
def cloud(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    require: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Any]:
    """A server of this test alone."""
    if request.param == "azblob":
        require("azurite")
    with azure_cloud(tmp_path) if request.param == "azblob" else s3_cloud() as cloud:
        for name, value in cloud.environment().items():
            monkeypatch.setenv(name, value)
        yield cloud


@pytest.fixture
def part(cloud: Any) -> int:
    return PART_SIZE[cloud.scheme]


@pytest.fixture
def data(part: int) -> bytes:
    return os.urandom(PARTS * part)


def away(cloud: Any, back: threading.Event) -> threading.Thread:
    """The server is gone now, and there again when `back` is set."""
    if cloud.server:
        cloud.server.stop()
    else:
        cloud.proxy.leave()

    def start() -> None:
        assert back.wait(60)
        if cloud.server:
            cloud.server.start()
            cloud.proxy.upstream = cloud.server.port
        else:
            cloud.proxy.come_back()

    thread = threading.Thread(target=start)
    thread.start()
    return thread


def arrived(cloud: Any) -> int:
    """The parts that the server said it has."""
    return len([sent for sent in cloud.proxy.of("PUT", SENT[cloud.scheme]) if sent.status in (200, 201)])


def test_a_push_goes_on_when_the_server_is_back(cloud: Any, part: int, data: bytes) -> None:
    store: Store = cloud.store(cloud.fresh(), part, PATIENT)
    back, starting = threading.Event(), []

    def chunks() -> Iterator[bytes]:
        for at in range(0, len(data), part):
            if at == 5 * part:
                starting.append(away(cloud, back))
                threading.Timer(1.0, back.set).start()
            yield data[at : at + part]

    assert store.write_if_absent("blobs/x", chunks(), len(data))
    starting[0].join(60)
    assert b"".join(store.read("blobs/x")) == data


def test_a_pull_goes_on_when_the_server_is_back(
    cloud: Any, part: int, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlship_azure.store.WINDOW", part)
    store: Store = cloud.store(cloud.fresh(), part, PATIENT)
    store.write_if_absent("blobs/x", [data])
    back, reading = threading.Event(), store.read("blobs/x")
    came = [next(reading)]
    starting = away(cloud, back)
    threading.Timer(1.0, back.set).start()
    came += reading
    starting.join(60)
    assert b"".join(came) == data


def test_a_push_that_gives_up_is_repeated_without_what_had_arrived(
    cloud: Any, part: int, data: bytes
) -> None:
    url, back, starting = cloud.fresh(), threading.Event(), []

    def chunks(leave: bool) -> Iterator[bytes]:
        for at in range(0, len(data), part):
            if leave and at == 8 * part:
                starting.append(away(cloud, back))
            yield data[at : at + part]

    with pytest.raises(RegistryError, match="cannot be reached or stopped answering"):
        cloud.store(url, part).write_if_absent("blobs/x", chunks(leave=True))
    kept = arrived(cloud)
    assert kept >= 4
    back.set()
    starting[0].join(60)
    cloud.proxy.seen.clear()
    assert cloud.store(url, part, PATIENT).write_if_absent("blobs/x", chunks(leave=False))
    again = len(cloud.proxy.of("PUT", SENT[cloud.scheme]))
    assert 0 < again <= PARTS - kept  # fewer where a part had come and its answer was lost
    assert b"".join(cloud.store(url).read("blobs/x")) == data
