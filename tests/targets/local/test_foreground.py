"""`boot.py serve`: one release in the foreground, told in one line where it answers or why it does not."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.targets.local.conftest import BOOT, PYTHON, Onhost, infer

from mlship_runtime.trust.tokens import Token, digest_of, new_token, write_tokens

INFER = "/v2/models/tiny/infer"

# `sh -c READ_ONLY sh COMMAND...` in a mount namespace of its own: nothing can be written anywhere.
READ_ONLY = """
mount --make-rprivate / && mount -o remount,bind,ro / || exit 90
for place in /dev/shm /tmp /run; do mount -o remount,bind,ro "$place" 2>/dev/null; done
! touch "$PROBE" 2>/dev/null || exit 91
exec "$@"
"""


def serve(onhost: Onhost, port: int = 0, before: Sequence[str] = ()) -> subprocess.Popen[bytes]:
    record = onhost.base / "services" / onhost.service / "releases" / "1.json"
    python = [PYTHON, "-I", "-S", "-B", "-u", "-X", f"pycache_prefix={onhost.base / 'pycache'}"]
    options = ["--release", str(record), "--host", "127.0.0.1", "--port", str(port)]
    return subprocess.Popen(
        [*before, *python, str(BOOT), "serve", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PROBE": str(onhost.base / "written")},
    )


def first_line(server: subprocess.Popen[bytes]) -> dict[str, Any]:
    assert server.stdout is not None
    said: dict[str, Any] = json.loads(server.stdout.readline())
    return said


def test_it_says_where_it_answers_and_ends_on_a_signal(onhost: Onhost, make_bundle) -> None:
    bundle = make_bundle(2.0)
    onhost.stage(1, bundle)
    with serve(onhost) as server:
        said = first_line(server)
        assert (said["ok"], said["digest"], said["pid"]) == (True, bundle.digest, server.pid)
        assert infer(said["port"]) == (bundle.digest, 6.0)
        server.send_signal(signal.SIGTERM)
        assert server.wait(20) == 0
    assert not list((onhost.base / "layers").rglob("__pycache__")), "a bundle stays as it was sent"


def test_it_keeps_limits_and_has_an_external_listener(onhost: Onhost, make_bundle, tmp_path: Path) -> None:
    token, file = new_token(), tmp_path / "tokens"
    write_tokens(file, [Token("ci", digest_of(token.encode()), "2026-01-01")])
    external = {"host": "127.0.0.1", "port": 0, "tokens": str(file)}
    onhost.stage(1, make_bundle(2.0), external=external, accessLog=True, limits={"rows": 1})
    with serve(onhost) as server:
        said = first_line(server)
        outside = said["external"]
        assert outside["scheme"] == "http"
        assert [asked(outside["port"], each) for each in (token, "another", "")] == [200, 401, 401]
        assert [asked(outside["port"], token, rows=2), asked(said["port"], "", rows=2)] == [400, 400]
        server.send_signal(signal.SIGTERM)
        assert server.wait(20) == 0
        assert server.stderr is not None
        log = [json.loads(line) for line in server.stderr if line.startswith(b"{")]
    told = [(line["door"], line["path"], line["status"]) for line in log]
    assert told == [("external", INFER, status) for status in (200, 401, 401, 400)] + [
        ("internal", INFER, 400)
    ]
    assert token not in str(log)


def asked(port: int, token: str, rows: int = 1) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    x = {"name": "X", "datatype": "FP32", "shape": [rows, 2], "data": [1, 2] * rows}
    access = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        connection.request("POST", INFER, json.dumps({"inputs": [x]}), access)
        return connection.getresponse().status
    finally:
        connection.close()


def test_an_external_listener_that_nobody_may_use_is_said(
    onhost: Onhost, make_bundle, tmp_path: Path
) -> None:
    external = {"host": "127.0.0.1", "port": 0, "tokens": str(tmp_path / "none")}
    onhost.stage(1, make_bundle(2.0), external=external)
    with serve(onhost) as server:
        said = first_line(server)
        assert server.wait(20) == 6
    assert "there is no file" in said["error"]["what"]


def test_a_port_in_use_is_said(onhost: Onhost, make_bundle) -> None:
    onhost.stage(1, make_bundle(2.0))
    with socket.create_server(("127.0.0.1", 0)) as other, serve(onhost, other.getsockname()[1]) as server:
        said = first_line(server)
        assert server.wait(20) == 6
    assert "cannot be opened" in said["error"]["what"]


def test_a_damaged_bundle_ends_with_exit_code_four(onhost: Onhost, make_bundle) -> None:
    bundle = make_bundle(300.0)
    onhost.stage(1, bundle)
    folder: Path = onhost.base / "layers" / bundle.layers[0].digest[7:]
    (folder / "model" / "more").write_bytes(b"")
    with serve(onhost) as server:
        said = first_line(server)
        assert server.wait(20) == 4
    assert said["error"]["kind"] == "bundle"
    assert "model/more" in said["error"]["what"]


def test_nothing_need_be_written_to_serve(
    onhost: Onhost, make_bundle, require: Callable[[str], None]
) -> None:
    require("tmpfs")  # that is: mounting is allowed
    bundle = make_bundle(2.0)
    onhost.stage(1, bundle)
    with serve(onhost, before=["unshare", "--mount", "sh", "-c", READ_ONLY, "sh"]) as server:
        said = first_line(server)
        assert (said["ok"], said["digest"]) == (True, bundle.digest)
        for _ in range(20):
            assert infer(said["port"]) == (bundle.digest, 6.0)
        server.send_signal(signal.SIGTERM)
        assert server.wait(20) == 0
