"""What stands in the way of a deploy by SSH: a clear line, the old release answers, the next deploy works."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from far_target import FarTarget, slow_way
from sampling import Some
from ssh_server import make_key

from mlship.bundle.open import OpenBundle
from mlship.errors import MlshipError
from mlship.target.lock import break_lock

pytestmark = [pytest.mark.faults, pytest.mark.server, pytest.mark.timeout(1800)]

Fault = Callable[[FarTarget, Path], Any]  # a context with the settings under which the deploy is tried


@contextmanager
def another_key(far: FarTarget, kept: Path) -> Iterator[dict[str, Any]]:
    """The machine shows a host key that is not the one it had."""
    folder, known = far.server.folder, (far.folder / "known_hosts").read_text()
    pinned = far.server.host_key
    far.server.fall()
    for name in ("host", "host.pub"):
        shutil.move(folder / name, kept / name)
    make_key(folder / "host")
    far.server.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(far.server), "host_key", property(lambda self: pinned))
        yield {}
    far.server.fall()
    for name in ("host", "host.pub"):
        shutil.move(kept / name, folder / name)
    far.server.start()
    (far.folder / "known_hosts").write_text(known)


@contextmanager
def another_user(far: FarTarget, _: Path) -> Iterator[dict[str, Any]]:
    yield {"hosts": [f"nobody-here@127.0.0.1:{far.server.port}"]}


@contextmanager
def another_users_key(far: FarTarget, folder: Path) -> Iterator[dict[str, Any]]:
    yield {"key": str(make_key(folder / "stranger"))}


@contextmanager
def crowd(far: FarTarget, _: Path) -> Iterator[dict[str, Any]]:
    """An sshd that has place for two who have not logged in yet, and two are there."""
    far.server.fall()
    far.server.more = "MaxStartups 2\n"
    far.server.start()
    with contextlib.ExitStack() as stack:
        end, there = time.monotonic() + 60, 0
        while there < 2:  # sshd may still count the one who looked whether it listens
            assert time.monotonic() < end
            one = stack.enter_context(socket.create_connection(("127.0.0.1", far.server.port)))
            there += one.recv(4) == b"SSH-"
        yield {}
    far.server.fall()
    far.server.more = ""
    far.server.start()


@contextmanager
def nobody_there(far: FarTarget, _: Path) -> Iterator[dict[str, Any]]:
    far.server.fall()
    yield {"connect_timeout": 3.0}
    far.server.start()


@contextmanager
def read_only(far: FarTarget, _: Path) -> Iterator[dict[str, Any]]:
    """What is mounted over the disk cannot be written to; those who have files of it open may go on."""
    disk = str(far.base.parent)
    subprocess.run(["mount", "--bind", disk, disk], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", disk], check=True)
    yield {}
    subprocess.run(["umount", "-l", disk], check=True)


@contextmanager
def taken_port(far: FarTarget, folder: Path) -> Iterator[dict[str, Any]]:
    (folder / "tokens").write_text("")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield {"external": {"port": taken.getsockname()[1], "tokens": str(folder / "tokens")}}


FAULTS: dict[str, tuple[Fault, int, str]] = {
    "another host key": (another_key, 6, "is not the one that is known"),
    "another user": (another_user, 6, "lets nobody in"),
    "another key": (another_users_key, 6, "lets nobody in"),
    "MaxStartups": (crowd, 6, "cannot be reached"),
    "nobody there": (nobody_there, 6, "cannot be reached"),
    "read-only": (read_only, 6, "Read-only file system"),
    "taken port": (taken_port, 8, "another program listens there"),
}


@pytest.mark.parametrize("client", ["openssh", "paramiko"])
@pytest.mark.parametrize("name", FAULTS)
def test_refused(far: FarTarget, tmp_path: Path, name: str, client: str) -> None:
    fault, code, words = FAULTS[name]
    before, wanted = far.answers(), far.other()
    with fault(far, tmp_path) as settings:
        error = failure(far, wanted, client=client, **settings)
        assert far.answers() == before
    assert error is not None
    assert (error.exit_code, "\n" in str(error)) == (code, False), error
    assert words in str(error)
    assert error.fix
    far.deploy(wanted)
    assert far.answers() == wanted.digest


def failure(far: FarTarget, wanted: OpenBundle, **settings: Any) -> MlshipError | None:
    try:
        far.deploy(wanted, **settings)
    except MlshipError as error:
        return error
    return None


@contextmanager
def space(disk: Path, left: int) -> Iterator[None]:
    """No more than `left` bytes are free."""
    found, filler = os.statvfs(disk), disk / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, found.f_bavail * found.f_frsize - left))
    yield
    filler.unlink()


FREE = [0, 4, 8, 12, 16, 24, 32, 40, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 384, 512]  # KiB


@pytest.mark.kinds("beside")
@pytest.mark.parametrize("beside", [False, True], ids=["base", "base-and-ledger"])
def test_a_full_disk(far: FarTarget, some: Some, monkeypatch: pytest.MonkeyPatch, beside: bool) -> None:
    """At each of many sizes: what was there stays and answers, and where there is too little it is said; also
    where neither the journal can be written nor what was sent be removed."""
    refused = 0
    if beside:
        monkeypatch.setattr(far, "kept", far.base.parent)
    for kibibytes in some.among(FREE, cost=12):
        before, wanted = far.answers(), far.other()
        with space(far.base.parent, kibibytes << 10):
            error = failure(far, wanted)
            assert far.answers() == (before if error else wanted.digest)
        if error:
            refused += 1
            assert error.exit_code in ((5, 6, 8) if beside else (6, 8)), error
            assert "\n" not in str(error)
            assert "No space left" in str(error) or "its disk is full" in str(error)
            break_lock(far.ledger)  # of this process, which lives
        far.deploy(wanted)
        assert far.answers() == wanted.digest
    assert refused or some.most, "some sizes are too small"


def test_a_slow_link(far: FarTarget) -> None:
    """A deploy takes its time, and that is all."""
    wanted = far.other()
    with slow_way(far.server.port, 256e3) as port:
        far.pin(port)
        far.deploy(wanted, hosts=[f"{far.server.user}@127.0.0.1:{port}"])
    assert far.answers() == wanted.digest


def test_two_deployers(far: FarTarget) -> None:
    """At the same time: one after the other, or one is refused with 7; the service answers as one of them."""
    codes: list[int] = []

    def go(bundle: OpenBundle, who: str) -> None:
        error = failure(far, bundle, environment={"WHO": who})
        codes.append(error.exit_code if error else 0)

    good = (far.bundles.first, far.bundles.second)
    both = [threading.Thread(target=go, args=(bundle, bundle.digest)) for bundle in good]
    for one in both:
        one.start()
    for one in both:
        one.join(600)
    assert sorted(codes) in ([0, 0], [0, 7]), codes
    assert far.answers() in {bundle.digest for bundle in good}
    wanted = far.other()
    far.deploy(wanted)
    assert far.answers() == wanted.digest
