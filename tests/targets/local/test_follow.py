"""Logs while they grow: through switches and rotation, from several hosts; nothing stays when one leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from log_of_service import LogOfService

from mlship.errors import TargetError
from mlship.host.local import LocalHost
from mlship.host.site import Site
from mlship.ops.follow import Followed, Following
from mlship.target.following import HostedLog
from mlship_runtime.supervision.eventlog import bound

pytestmark = pytest.mark.server

PYTHON = str(Path(sys.executable).resolve())
MLSHIP = [sys.executable, "-m", "mlship.cli.main"]
Running = Callable[[Path], dict[int, str]]


@pytest.fixture
def service(tmp_path: Path) -> LogOfService:
    made = LogOfService(tmp_path / "targets" / "local")
    made.release(1)
    made.live(1)
    return made


def source(service: LogOfService, release: int | None = None, lines: int = 50) -> HostedLog:
    return HostedLog(Site(LocalHost(), str(service.base), service.name, PYTHON), release, lines)


def lines(said: Iterator[Followed], count: int) -> list[tuple[int | None, str]]:
    """The next `count` lines, and which releases are followed on the way (with an empty line)."""
    found: list[tuple[int | None, str]] = []
    while len([line for _, line in found if line]) < count:
        one = next(said)
        assert one.event in ("line", "follows"), one
        found.append((one.release, one.line))
    return found


def test_it_goes_on_through_rotation_and_with_the_next_release(service: LogOfService) -> None:
    service.write(1, "of before")
    service.write(1, "the last")
    with closing(iter(Following([source(service, lines=1)]))) as said:  # type: ignore[type-var]
        assert lines(said, 1) == [(1, ""), (1, "the last")]
        service.write(1, "one")
        assert lines(said, 1) == [(1, "one")]
        bound(service.layout.log(1), limit=1)
        service.write(1, "two")
        assert lines(said, 1) == [(1, "two")]
        service.release(2)
        service.write(2, "loading")
        service.write(1, "three")
        assert lines(said, 1) == [(1, "three")], "a candidate is not followed"
        service.live(2)
        assert lines(said, 1) == [(2, ""), (2, "loading")]
        service.write(1, "draining")
        assert lines(said, 1) == [(1, "draining")]
        service.write(2, "four")
        assert lines(said, 1) == [(2, "four")]
        service.live(1)
        assert next(said).release == 1
        service.write(1, "back")
        assert lines(said, 1) == [(1, "back")]


def test_one_release_alone(service: LogOfService) -> None:
    service.release(2)
    with closing(iter(Following([source(service, release=2)]))) as said:  # type: ignore[type-var]
        first = next(said)
        assert (first.event, first.release, first.live) == ("follows", 2, False)
        service.write(1, "of the other")
        service.write(2, "mine")
        assert lines(said, 1) == [(2, "mine")]


def test_what_is_not_there_is_refused(tmp_path: Path, service: LogOfService) -> None:
    with pytest.raises(TargetError, match="nothing runs as churn"):
        next(iter(Following([source(LogOfService(tmp_path / "none"))])))
    with pytest.raises(TargetError, match="release 7 has no log"):
        next(iter(Following([source(service, release=7)])))


def test_two_hosts(tmp_path: Path, service: LogOfService) -> None:
    other = LogOfService(tmp_path / "other")
    other.release(4)
    other.live(4)
    sources = [source(service), source(other)]
    sources[1].host = "that machine"
    following = Following(sources)
    assert following.hosts == ("this machine", "that machine")
    with closing(iter(following)) as said:  # type: ignore[type-var]
        service.write(1, "here")
        other.write(4, "there")
        found = set()
        while len(found) < 4:
            one = next(said)
            found.add((one.host, one.release, one.line))
    assert found == {(host, n, x) for host, n, line in LINES for x in ("", line)}


LINES = (("this machine", 1, "here"), ("that machine", 4, "there"))


def test_nothing_runs_on_when_it_is_left(service: LogOfService, running: Running) -> None:
    with closing(iter(Following([source(service)]))) as said:  # type: ignore[type-var]
        next(said)
    until(lambda: not followers())


def followers() -> list[int]:
    """The children of this process that follow."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            words = stat.with_name("cmdline").read_bytes()
        except OSError:
            continue
        if parent == os.getpid() and b"follow" in words:
            found.append(int(stat.parent.name))
    return found


def until(so: Callable[[], Any]) -> None:
    end = time.monotonic() + 60
    while not so():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def client(tmp_path: Path, service: LogOfService) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """`client("--json")`: mlship logs --follow in a process of its own, which has said its first line."""
    (tmp_path / "mlship.toml").write_text('[project]\nname = "churn"\n[model]\nsource = "m"\n')
    service.write(1, "first")
    started = []

    def start(*words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*MLSHIP, "logs", "local", "--follow", *words],
            cwd=tmp_path, env={**os.environ, "MLSHIP_HOME": str(tmp_path)}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_ctrl_c_ends_it_with_130(client: Callable[..., subprocess.Popen[str]], service: LogOfService) -> None:
    process = client()
    assert process.stdout
    assert process.stdout.readline() == "first\n"
    service.write(1, "second")
    assert process.stdout.readline() == "second\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines() == ["-- this machine: release 1 is live", "interrupted"]


def test_in_json_every_line_is_an_object(
    client: Callable[..., subprocess.Popen[str]], service: LogOfService
) -> None:
    process = client("--json")
    assert process.stdout
    said = [json.loads(process.stdout.readline()) for _ in range(2)]
    assert [(one["event"], one["release"], one["line"]) for one in said] == [
        ("follows", 1, ""),
        ("line", 1, "first"),
    ]
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert json.loads(out)["exitCode"] == 130


def test_a_killed_client_leaves_nothing(
    client: Callable[..., subprocess.Popen[str]], service: LogOfService
) -> None:
    process = client()
    assert process.stdout
    assert process.stdout.readline() == "first\n"
    tasks = Path(f"/proc/{process.pid}/task").glob("*/children")
    (pid,) = {int(child) for children in tasks for child in children.read_text().split()}
    assert b"follow" in Path(f"/proc/{pid}/cmdline").read_bytes()
    process.kill()
    until(lambda: not Path(f"/proc/{pid}/cmdline").exists() or not Path(f"/proc/{pid}/cmdline").read_bytes())
