"""The server goes away in the middle of a push or a pull, and comes back."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cloud_stores import azure_cloud

from mlship.errors import RegistryError
from mlship.store.asking import Patience
from mlship.store.protocol import Store

pytestmark = [pytest.mark.faults, pytest.mark.server]

PART = 1 << 20
PATIENT = Patience(attempts=12, pause=0.25, longest=3, connect=5, stall=10, total=90)
DATA = os.urandom(12 * PART)


@pytest.fixture
def cloud(tmp_path: Path, require: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A server of this test alone."""
    require("azurite")
    with azure_cloud(tmp_path) as cloud:
        for name, value in cloud.environment().items():
            monkeypatch.setenv(name, value)
        yield cloud


def away(cloud: Any, back: threading.Event) -> threading.Thread:
    """Stop the server now, and start it when `back` is set."""
    cloud.server.stop()

    def start() -> None:
        assert back.wait(60)
        cloud.server.start()
        cloud.proxy.upstream = cloud.server.port

    thread = threading.Thread(target=start)
    thread.start()
    return thread


def test_a_push_goes_on_when_the_server_is_back(cloud: Any) -> None:
    store: Store = cloud.store(cloud.fresh(), PART, PATIENT)
    back, starting = threading.Event(), []

    def chunks() -> Iterator[bytes]:
        for at in range(0, len(DATA), PART):
            if at == 5 * PART:
                starting.append(away(cloud, back))
                threading.Timer(1.0, back.set).start()
            yield DATA[at : at + PART]

    assert store.write_if_absent("blobs/x", chunks(), len(DATA))
    starting[0].join(60)
    assert b"".join(store.read("blobs/x")) == DATA


def test_a_pull_goes_on_when_the_server_is_back(cloud: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlship_azure.store.WINDOW", PART)
    store: Store = cloud.store(cloud.fresh(), PART, PATIENT)
    store.write_if_absent("blobs/x", [DATA])
    back, reading = threading.Event(), store.read("blobs/x")
    came = [next(reading)]
    starting = away(cloud, back)
    threading.Timer(1.0, back.set).start()
    came += reading
    starting.join(60)
    assert b"".join(came) == DATA


def test_a_push_that_gives_up_is_repeated_without_what_had_arrived(cloud: Any) -> None:
    url, back, starting = cloud.fresh(), threading.Event(), []

    def chunks(leave: bool) -> Iterator[bytes]:
        for at in range(0, len(DATA), PART):
            if leave and at == 8 * PART:
                starting.append(away(cloud, back))
            yield DATA[at : at + PART]

    with pytest.raises(RegistryError, match="cannot be reached or stopped answering"):
        cloud.store(url, PART).write_if_absent("blobs/x", chunks(leave=True))
    arrived = len([request for request in cloud.proxy.of("PUT", "comp=block&") if request.status == 201])
    assert arrived >= 4
    back.set()
    starting[0].join(60)
    cloud.proxy.seen.clear()
    assert cloud.store(url, PART, PATIENT).write_if_absent("blobs/x", chunks(leave=False))
    assert len(cloud.proxy.of("PUT", "comp=block&")) == 12 - arrived
    assert b"".join(cloud.store(url).read("blobs/x")) == DATA
