"""How long a redeploy over SSH takes beyond sending and golden check: at most 3 s; ends with 1 over it.

The example project, deployed to an sshd on the loopback by the command line; then five times with another
model each. What is sent and what the golden check takes is told by the journal, to the millisecond, and taken
away from the whole command's time: start of the program, looking, planning, lock, staging, start of the
workers, switch and settling remain. By both clients, in turn. The bytes sent stand beside.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "samples"))
ROUNDS = 5
LIMIT = 3.0  # seconds
BIN = Path(sys.prefix, "bin")
CLIENTS = ("openssh", "paramiko")
TARGET = """
[targets.{client}]
type = "ssh"
service = "{client}"
hosts = ["{address}"]
key = "{key}"
client = "{client}"
base = "{base}"
python = "{python}"
workers = 1
port = 0
units = "none"
"""


class Project:
    """The example, with a target for each client."""

    def __init__(self, folder: Path, server: Any) -> None:
        own = ("MLSHIP_", "PYTHON")
        self.folder, self.scratch = folder / "first", folder
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith(own)}
        path = f"{BIN}{os.pathsep}{self.environment.get('PATH', os.defpath)}"
        self.environment |= {"MLSHIP_HOME": str(folder / "home"), "VIRTUAL_ENV": sys.prefix, "PATH": path}
        self.run(folder, "mlship", "init", "first")
        server.known_in(self.folder / "known_hosts")
        python = Path(sys.executable).resolve()
        with (self.folder / "mlship.toml").open("a", encoding="utf-8") as settings:
            for client in CLIENTS:
                settings.write(
                    TARGET.format(
                        client=client,
                        address=server.address,
                        key=server.key,
                        base=folder / f"base-{client}",
                        python=python,
                    )
                )

    def run(self, folder: Path, program: str, *words: str) -> str:
        done = subprocess.run(
            [BIN / program, *words],
            cwd=folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(
                f"{program} {' '.join(words)} ended with {done.returncode}\n{done.stdout}{done.stderr}"
            )
        return done.stdout

    def build(self, number: int) -> None:
        """Another model for each number, of the same form."""
        script = self.folder / "train.py"
        before, rate, after = script.read_text(encoding="utf-8").partition("n_estimators=80, ")
        assert rate, "the example trains otherwise now"
        after = after.partition("max_depth")[2]
        changed = f"{before}{rate}learning_rate=0.{number + 10}, max_depth{after}"
        script.write_text(changed, encoding="utf-8")
        self.run(self.folder, "python", "train.py")
        self.run(self.folder, "mlship", "build")

    def deploy(self, client: str) -> tuple[float, list[dict[str, Any]]]:
        """Seconds by the clock, and what the journal says."""
        entries = self.scratch / f"base-{client}" / "ledger" / client / client / "entries"
        known = set(entries.glob("*")) if entries.exists() else set()
        began = time.perf_counter()
        self.run(self.folder, "mlship", "deploy", client)
        clock = time.perf_counter() - began
        return clock, [json.loads(path.read_bytes()) for path in sorted(set(entries.glob("*")) - known)]


def steps(entries: list[dict[str, Any]]) -> dict[str, float]:
    """Seconds of the actions by verb, and `bytes` that were sent."""
    taken: Counter[str] = Counter()
    begun: dict[str, tuple[str, datetime]] = {}
    for entry in entries:
        at, data = datetime.fromisoformat(entry["at"]), entry["data"]
        if entry["kind"] == "action":
            begun[data["name"]] = (data["verb"], at)
        elif entry["kind"] == "result":
            verb, since = begun[data["name"]]
            taken[verb] += (at - since).total_seconds()
            taken["bytes"] += data["result"].get("sent", 0)
    return dict(taken)


def main() -> int:
    from ssh_server import SSHD, ssh_server

    if not SSHD or not shutil.which("ssh"):
        print("sshd or ssh is not here: make testbed")
        return 0
    with tempfile.TemporaryDirectory(prefix="mlship-bench-") as scratch:
        (server_folder := Path(scratch, "sshd")).mkdir()
        with ssh_server(server_folder) as server:
            project = Project(Path(scratch), server)
            try:
                return bench(project)
            finally:
                for client in CLIENTS:
                    project.run(project.folder, "mlship", "destroy", client, "--yes", "--purge")


def bench(project: Project) -> int:
    project.build(0)
    for client in CLIENTS:
        clock, entries = project.deploy(client)
        print(f"first deploy by {client}: {clock:.2f} s, {steps(entries)['bytes'] / 1e6:,.1f} MB sent")
    beyond: dict[str, list[float]] = {client: [] for client in CLIENTS}
    for number in range(1, ROUNDS + 1):
        project.build(number)
        for client in CLIENTS:
            clock, entries = project.deploy(client)
            told = steps(entries)
            sent, rest = told.pop("bytes"), clock - told["send"] - told["prove"]
            beyond[client].append(rest)
            each = "  ".join(f"{verb} {seconds:.2f}" for verb, seconds in told.items())
            print(
                f"round {number} by {client}: {clock:.2f} s, beyond {rest:.2f} s; {each}; {sent:,.0f} bytes"
            )
    missed = False
    for client, found in beyond.items():
        ratio = statistics.median(found) / LIMIT
        missed |= ratio > 1
        bounds = f"{min(found) / LIMIT:.2f} to {max(found) / LIMIT:.2f}"
        verdict = "MISSED" if ratio > 1 else "ok"
        what = f"redeploy by {client} beyond transfer and golden / {LIMIT:.0f} s"
        print(f"{what}: {ratio:.2f} ({bounds}) {verdict}")
    return missed


if __name__ == "__main__":
    raise SystemExit(main())
