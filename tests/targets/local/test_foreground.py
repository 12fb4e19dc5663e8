"""`boot.py serve`: one release in the foreground, told in one line where it answers or why it does not."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.targets.local.conftest import BOOT, PYTHON, Onhost, infer

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
