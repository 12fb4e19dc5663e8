"""The listening socket: how it is bound, refused and handed on."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import mlship_runtime
from mlship_runtime.errors import SiteError
from mlship_runtime.supervision import listening
from mlship_runtime.supervision.spawn import clean_environment


def test_a_free_port_is_chosen_and_nobody_shares_it() -> None:
    with listening.bind("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        assert not first.getblocking()
        assert first.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        assert not first.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)
        with pytest.raises(
            SiteError, match=rf"port {port} on 127\.0\.0\.1 cannot be opened: another program"
        ):
            listening.bind("127.0.0.1", port)


@pytest.mark.parametrize(
    ("host", "port", "words"),
    [
        ("192.0.2.1", 0, "does not have that address"),
        ("no host", 0, "is no address"),
        ("127.0.0.1", 70000, "is no port"),
    ],
)
def test_addresses_that_cannot_be_opened(host: str, port: int, words: str) -> None:
    with pytest.raises(SiteError, match=words):
        listening.bind(host, port)


def test_a_service_on_all_addresses_is_reached_on_this_machine() -> None:
    assert [listening.reach(host) for host in ("0.0.0.0", "::", "10.0.0.5")] == [
        "127.0.0.1",
        "::1",
        "10.0.0.5",
    ]


def test_a_socket_goes_from_standard_input_to_descriptor_three() -> None:
    """As `launch` does it: take, then become another program."""
    program = (
        "import sys, os; sys.path.insert(0, sys.argv[1])\n"
        "from mlship_runtime.supervision import listening\n"
        "if len(sys.argv) == 2:\n"
        "    listening.take_from_stdin()\n"
        "    os.execv(sys.executable, [sys.executable, '-I', '-S', '-c', AGAIN, sys.argv[1], 'again'])\n"
    )
    again = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from mlship_runtime.supervision import listening\n"
        "print(listening.inherited().getsockname()[1], end='')\n"
    )
    root = str(Path(mlship_runtime.__file__).parent.parent)
    with listening.bind("127.0.0.1", 0) as listener:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", program.replace("AGAIN", repr(again)), root],
            stdin=listener.fileno(),
            capture_output=True,
            check=True,
        )
        assert int(done.stdout) == listener.getsockname()[1]


def test_without_the_hand_over_there_is_no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_FDS", "1")
    monkeypatch.setenv("LISTEN_PID", str(os.getpid() + 1))
    with pytest.raises(SiteError, match="no listening socket"):
        listening.inherited()


def test_a_release_sees_a_clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    seen = clean_environment({"REGION": "eu", "LISTEN_FDS": "9"})
    assert set(seen) == {"PATH", "LANG", "TMPDIR", "REGION"}
    assert seen["PATH"] == "/usr/bin:/bin"
