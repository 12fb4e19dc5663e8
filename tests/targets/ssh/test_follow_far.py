"""Logs of a machine behind SSH: a lost connection is said, tried again and gone on with."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from log_of_service import LogOfService
from ssh_server import SshServer

from mlship.host.protocol import Lost
from mlship.host.site import Site
from mlship.host.ssh import SshHost
from mlship.ops.follow import Following
from mlship.target.following import HostedLog

pytestmark = pytest.mark.server
Reach = Callable[..., SshHost]


@pytest.fixture
def service(tmp_path: Path) -> LogOfService:
    made = LogOfService(tmp_path / "base")
    made.release(1)
    made.live(1)
    return made


def source(host: SshHost, service: LogOfService) -> HostedLog:
    return HostedLog(Site(host, str(service.base), service.name, sys.executable), None, 10)


def test_nothing_is_lost_or_said_twice_when_the_connection_breaks(
    reach: Reach, own_sshd: SshServer, service: LogOfService, running: Callable[[Path], dict[int, str]]
) -> None:
    service.write(1, "one")
    following = Following([source(reach(own_sshd), service)], pauses=(0.5,) * 60)
    events, lines = [], []
    with closing(iter(following)) as said:  # type: ignore[type-var]
        while "five" not in lines:
            one = next(said)
            events.append(one.event)
            lines += [one.line] * (one.event == "line")
            if one.event == "line" and one.line == "one":
                service.write(1, "two")
            if one.event == "line" and one.line == "two":
                own_sshd.fall()
                service.write(1, "three")
                service.live(None)
                service.release(2)
                service.live(2)
                service.write(2, "four")
                own_sshd.start()
            if one.event == "line" and one.line == "four":
                service.write(2, "five")
    assert sorted(lines) == sorted(["one", "two", "three", "four", "five"])
    assert [event for event in events if event in ("lost", "back")] == ["lost", "back"]
    end = time.monotonic() + 60
    while [words for words in running(Path("host follow")).values() if "sshd" not in words]:
        assert time.monotonic() < end, "nothing is left on the machine"
        time.sleep(0.1)


def test_a_machine_that_stays_away_is_given_up(
    reach: Reach, own_sshd: SshServer, service: LogOfService
) -> None:
    following = Following([source(reach(own_sshd, connect_timeout=2.0), service)], pauses=(0.1, 0.1))
    with closing(iter(following)) as said:  # type: ignore[type-var]
        assert next(said).event == "follows"
        own_sshd.fall()
        assert next(said).event == "lost"
        with pytest.raises(Lost):
            next(said)
