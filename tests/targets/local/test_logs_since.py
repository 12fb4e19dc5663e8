"""The lines of a log that are young enough, by the command line: as an age, as a time, after a rotation."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from log_of_service import LogOfService

from mlship_runtime.files import write_json
from mlship_runtime.onhost.dated import written_within
from mlship_runtime.supervision.eventlog import bound

MLSHIP = [sys.executable, "-m", "mlship.cli.main", "logs", "local/churn"]
NOW = 1_800_000_000.0


def dated(seconds: float, text: str, now: float = NOW) -> str:
    stamp = datetime.fromtimestamp(now - seconds, UTC).isoformat(timespec="milliseconds")
    return json.dumps({"time": stamp.replace("+00:00", "Z"), "event": text})


OLD, TRACE, YOUNG = dated(3600, "old"), "Traceback", dated(60, "young")


@pytest.mark.parametrize(
    ("lines", "left"),
    [
        ([OLD, TRACE, YOUNG], [TRACE, YOUNG]),
        ([TRACE, OLD, YOUNG, TRACE], [YOUNG, TRACE]),
        ([TRACE, TRACE], [TRACE, TRACE]),
        ([TRACE, OLD], []),
        ([YOUNG, OLD, YOUNG], [YOUNG]),
        (['{"time": "2027-99-99T00:00:00Z"}', YOUNG], ['{"time": "2027-99-99T00:00:00Z"}', YOUNG]),
        ([], []),
    ],
)
def test_nothing_is_left_out_that_may_be_young(
    lines: list[str], left: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW)
    assert written_within(lines, 600) == left


@pytest.fixture
def service(own_home: Path) -> LogOfService:
    """Logs that tell times: two hours, one hour and one minute ago."""
    made = LogOfService(own_home / "targets" / "local")
    made.release(1)
    names = ("digest", "reference", "settingsDigest", "platform", "service")
    record = {"schemaVersion": 1, "number": 1, "settings": {}, **dict.fromkeys(names, "x")}
    write_json(made.layout.record(1), record)
    write_json(made.layout.settings, {"schemaVersion": 1, "host": "127.0.0.1", "port": 1})
    made.live(1)
    for seconds, text in ((7200, "first"), (3600, "second"), (60, "third")):
        made.write(1, dated(seconds, text, time.time()))
    return made


def shown(*words: str) -> list[str]:
    done = subprocess.run([*MLSHIP, *words, "--json"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout
    return [json.loads(line)["event"] for line in json.loads(done.stdout)["result"]["lines"]]


def test_an_age_or_a_time(service: LogOfService) -> None:
    hours_ago = datetime.now() - timedelta(minutes=90)  # noqa: DTZ005  local, as one would write it
    assert shown("--since", "90m") == shown("--since", hours_ago.isoformat()) == ["second", "third"]
    assert shown("--since", "3h", "--lines", "1") == ["third"]
    bound(service.layout.log(1), limit=1)
    service.write(1, dated(1, "fourth", time.time()))
    assert shown("--since", "90m") == ["second", "third", "fourth"]
    assert shown() == ["fourth"]


@pytest.mark.parametrize(
    ("since", "said"), [("yesterday", "'yesterday' is no time"), ("2999-01-01", "is still to come")]
)
def test_what_is_no_time(service: LogOfService, since: str, said: str) -> None:
    done = subprocess.run([*MLSHIP, "--since", since], capture_output=True, text=True, timeout=120)
    assert (done.returncode, said in done.stderr) == (2, True)


def test_followed_from_there(service: LogOfService) -> None:
    words = [*MLSHIP, "--follow", "--since", "90m"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        first = [child.stdout.readline() for _ in range(2)]
        service.write(1, dated(0, "fourth", time.time()))
        first.append(child.stdout.readline())
        child.terminate()
    assert [json.loads(line.rpartition(" | ")[2])["event"] for line in first] == ["second", "third", "fourth"]


@pytest.mark.parametrize("more", [[], ["--follow"]])
def test_a_line_does_not_steer_the_terminal(service: LogOfService, more: list[str]) -> None:
    """On a terminal such characters are shown; in a pipe they are what they were."""
    hostile = "\x1b]0;owned\x07 \x1b[2J \x9b31m ümlaut end"
    service.write(1, hostile)
    near, far = pty.openpty()
    with subprocess.Popen([*MLSHIP, "--lines", "1", *more], stdout=far, stderr=subprocess.DEVNULL) as child:
        os.close(far)
        seen = b""
        while b"end" not in seen:
            seen += os.read(near, 4096)
        child.terminate()
    os.close(near)
    assert "\\x1b]0;owned\\x07 \\x1b[2J \\x9b31m ümlaut end" in seen.decode()
    assert b"\x1b]" not in seen
    assert b"\x07" not in seen
    done = subprocess.run([*MLSHIP, "--lines", "1"], capture_output=True, timeout=120)
    assert hostile.encode() in done.stdout
