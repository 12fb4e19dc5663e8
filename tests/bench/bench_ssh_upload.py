"""Putting one large file on a machine by SSH, over both clients, against OpenSSH's own sftp on the same link.

    python tests/bench/bench_ssh_upload.py [MIB]     256 without it; the promise is about 1024

Each connects anew, and sends to an sshd on the loopback. `put` is how a layer goes to a host, `push` how it
goes into a registry on one. Both are done when the value is whole under its name and on the disk, sftp when
the last byte was written, and `sftp -f` when it is on the disk. Five rounds of all, in turn; the ratios
are medians of the rounds' ratios of rates, with the least and the largest.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "samples"))
ROUNDS = 5
LIMIT = 0.9  # of sftp's rate, at least
CHUNK = 1 << 20
CLIENTS = ("openssh", "paramiko")


def main() -> int:
    from ssh_server import SSHD, ssh_server

    if not SSHD or not shutil.which("sftp"):
        print("sshd or sftp is not here: make testbed")
        return 0
    size = (int(sys.argv[1]) if len(sys.argv) > 1 else 256) << 20
    with tempfile.TemporaryDirectory(prefix="mlship-bench-") as scratch:
        (server_folder := Path(scratch, "sshd")).mkdir()
        with ssh_server(server_folder) as server:
            return bench(Path(scratch), server, size)


def bench(folder: Path, server: Any, size: int) -> int:
    source = folder / "source"
    with source.open("wb") as file:
        for _ in range(size // CHUNK):
            file.write(os.urandom(CHUNK))
    senders = {"sftp": by_sftp(server), "sftp -f": by_sftp(server, "-f")}
    ours = [(f"{way.__name__} by {client}", way(server, client)) for client in CLIENTS for way in (put, push)]
    senders |= ours
    rates: dict[str, list[float]] = {name: [] for name in senders}
    for number in range(ROUNDS):
        turn = number % len(senders)
        for name in [*senders][turn:] + [*senders][:turn]:
            target = folder / "target"
            os.sync()  # what was written before is not part of what is measured
            start = time.perf_counter()
            senders[name](source, target)
            rates[name].append(size / (time.perf_counter() - start) / CHUNK)
            assert target.stat().st_size == size
            target.unlink()
        print(f"round {number + 1}: " + "  ".join(f"{name} {rates[name][-1]:.1f} MiB/s" for name in senders))
    missed = False
    for name, _ in ours:
        for other in ("sftp", "sftp -f"):
            ratios = [mine / theirs for mine, theirs in zip(rates[name], rates[other], strict=True)]
            found = statistics.median(ratios)
            missed |= found < LIMIT
            bounds = f"{min(ratios):.2f} to {max(ratios):.2f}; at least {LIMIT}"
            print(f"{name} / {other}: {found:.2f} ({bounds}) {'MISSED' if found < LIMIT else 'ok'}")
    return missed


def by_sftp(server: Any, option: str = "") -> Callable[[Path, Path], None]:
    """OpenSSH's own, with nothing of the user's."""
    options = {
        "UserKnownHostsFile": server.known_in(server.folder / "known_hosts"),
        "IdentityFile": server.key,
        "IdentitiesOnly": "yes",
        "BatchMode": "yes",
    }
    words = ["sftp", "-q", "-F", os.devnull, "-P", str(server.port)]
    for name, value in options.items():
        words += ["-o", f"{name}={value}"]

    def send(source: Path, target: Path) -> None:
        batch = f"put {option} {source} {target}\n"
        words_to = [*words, "-b", "-", f"{server.user}@127.0.0.1"]
        subprocess.run(words_to, input=batch, text=True, check=True, stdout=subprocess.DEVNULL)

    return send


def put(server: Any, client: str) -> Callable[[Path, Path], None]:
    from mlship.host.ssh import SshHost
    from mlship.host.ssh.clients import wire_by

    def send(source: Path, target: Path) -> None:
        access = server.access()
        host = SshHost(wire_by(client, access), access, sys.executable)
        host.put(source, str(target))
        host.close()

    return send


def push(server: Any, client: str) -> Callable[[Path, Path], None]:
    from mlship.host.ssh.url import open_store

    def send(source: Path, target: Path) -> None:
        store = open_store(server.url(target.parent, client))
        with source.open("rb") as file:
            store.write_if_absent(target.name, iter(lambda: file.read(CHUNK), b""), source.stat().st_size)
        store.close()

    return send


if __name__ == "__main__":
    raise SystemExit(main())
