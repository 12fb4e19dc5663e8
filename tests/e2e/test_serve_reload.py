"""`mlship serve --reload`: a change is built and swapped in under load, a failing build changes nothing."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlship.ops.reload import settled, snapshot

MLSHIP = [sys.executable, "-m", "mlship.cli.main"]
WAIT = 240.0  # seconds for a build on a machine that does other things, too


class Load:
    """Four keep-alive clients that never retry; `digests` are those that answered, in order."""

    def __init__(self, port: int, row: dict[str, float | None]) -> None:
        self.digests: list[str] = []
        self.failures: list[str] = []
        self._port, self._body = port, json.dumps({"instances": [row]})
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(4)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        while not self._stop.is_set():
            try:
                connection.request("POST", "/invocations", self._body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                body = answer.read()
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(f"{type(error).__name__}: {error}")
                connection.close()
                continue
            if answer.status != 200:
                self.failures.append(body.decode())
            digest = str(answer.headers["Mlship-Bundle"])
            if digest not in self.digests:
                self.digests.append(digest)
            time.sleep(0.01)
        connection.close()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "first"
    subprocess.run([*MLSHIP, "init", "first"], cwd=tmp_path, check=True, capture_output=True)
    subprocess.run([sys.executable, "train.py"], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture
def server(project: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*MLSHIP, "serve", "--reload", "--port", "0"], cwd=project, env={**os.environ, "COLUMNS": "200"},
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.e2e
@pytest.mark.builds
@pytest.mark.timeout(900)
def test_changes_are_taken_over_without_losing_a_request(
    project: Path, server: subprocess.Popen[str]
) -> None:
    port = int(told(server, r"answers at http://127\.0\.0\.1:(\d+)"))
    load = Load(port, row_of(project))
    try:
        settings, step = project / "mlship.toml", project / "reduction.py"
        working = step.read_text(encoding="utf-8")
        step.write_text(working + "\nthis is no Python\n", encoding="utf-8")
        told(server, r"(not taken, the bundle before goes on serving: .*)")
        step.write_text(working, encoding="utf-8")
        told(server, r"(nothing that is served has changed)")
        settings.write_text(settings.read_text().replace('version = "1.0.0"', 'version = "1.1.0"'))
        told(server, r"(answers at)")
        end = time.monotonic() + WAIT
        while len(load.digests) < 2:
            assert time.monotonic() < end
            time.sleep(0.05)
        subprocess.run(
            [*MLSHIP, "token", "new", "own.tokens", "ci"], cwd=project, check=True, capture_output=True
        )
        more = '\n[serve.external]\nport = 0\ntokens = "own.tokens"\n'
        settings.write_text(settings.read_text() + more, encoding="utf-8")
        outside = int(told(server, rf"http://127.0.0.1:{port} and http://127.0.0.1:(\d+)"))
        assert asked(outside) == 401
        settings.write_text(settings.read_text() + "metrics = true\n", encoding="utf-8")
        assert int(told(server, r" and http://127.0.0.1:(\d+)")) == outside
    finally:
        load.stop()
    assert load.failures == []
    os.killpg(server.pid, signal.SIGINT)
    server.communicate(timeout=60)
    assert server.returncode == 0


def asked(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/v2")
    try:
        return connection.getresponse().status
    finally:
        connection.close()


def told(server: subprocess.Popen[str], pattern: str) -> str:
    """What the group of `pattern` is in the next line that has it."""
    assert server.stdout is not None
    said = []
    for line in server.stdout:
        said.append(line)
        if found := re.search(pattern, line):
            return found[1]
    raise AssertionError("".join(said))


def row_of(project: Path) -> dict[str, float | None]:
    names, values = (project / "rows.csv").read_text(encoding="utf-8").splitlines()[:2]
    row = dict(zip(names.split(","), values.split(","), strict=True))
    return {name: float(value) if value else None for name, value in row.items()}


@pytest.mark.e2e
def test_only_what_this_project_builds_can_be_reloaded(tmp_path: Path) -> None:
    done = subprocess.run(
        [*MLSHIP, "serve", "churn:1.4", "--reload"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "--reload serves what the project builds" in done.stderr


def test_files_that_no_build_reads_are_left_out(tmp_path: Path) -> None:
    for name in ("mlship.toml", "a/b.csv", ".mlship/x", "a/.b.csv.swp", "__pycache__/c.pyc", "mlship.lock"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    seen = snapshot(tmp_path)
    assert set(seen) == {str(tmp_path / "mlship.toml"), str(tmp_path / "a" / "b.csv")}
    (tmp_path / "a" / "b.csv").write_text("12")
    assert snapshot(tmp_path) != seen
    assert settled(tmp_path) == snapshot(tmp_path)
