"""At 60 % of what a service on another machine can answer, it is deployed to, well and badly, rolled back,
and its deployer is killed: no request fails, and nothing answers that was not verified and proved."""

from __future__ import annotations

import http.client
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sampling import Some
from ssh_server import SshServer
from steady_load import PATH, steady_load

from mlship.store import open_store
from mlship.target.conformance import BAD, Bundles
from mlship.target.ledger import Entry, Ledger

pytestmark = [pytest.mark.server, pytest.mark.timeout(3600)]

PYTHON = str(Path(sys.executable).resolve())
MLSHIP = [sys.executable, "-m", "mlship.cli.main"]
PROJECT = """\
[project]
name = "conform"

[model]
source = "m.joblib"

[trust]
keys = {{ release = "release.pub" }}

[targets.prod]
type = "ssh"
hosts = ["{address}"]
key = "{key}"
base = "{base}"
python = "{python}"
workers = 1
drain_timeout = 10
ready_timeout = 240
units = "none"
require = ["signature"]
ledger = "dir://{ledger}"

[targets.prod.limits]
queue_time = 60  # others may have the processors
"""
KEPT, SHARE = 8, 0.6
READ = 1.0  # seconds until a client has read what was sent to it
WELL = [*["good"] * 17, *["killed"] * 3, *["rollback"] * 5]
BADLY = [*["unsigned"] * 2, *BAD, *BAD, *["crashes"] * 2]


@dataclass
class Life:
    """The project of a target that takes signed bundles only, and what is done to its service."""

    folder: Path
    environment: dict[str, str]
    bundles: Bundles
    unsigned: str
    port: int = 0
    body: bytes = b""

    def run(self, *words: str) -> tuple[int, dict[str, Any]]:
        done = self._begun(*words).communicate(timeout=600)
        code, said = int(self.last.returncode), json.loads(done[0])
        return code, said

    def done(self, *words: str) -> dict[str, Any]:
        code, said = self.run(*words)
        assert code == 0, said
        return dict(said["result"])

    def refused(self, code: int, *words: str) -> None:
        found, said = self.run(*words)
        assert found == code, said

    def killed(self, after: float, *words: str) -> None:
        """SIGKILL of the command after so many seconds, if it takes as long."""
        child = self._begun(*words)
        try:
            child.wait(after)
        except subprocess.TimeoutExpired:
            child.kill()
        child.communicate()
        self.done("repair", "prod")

    def _begun(self, *words: str) -> subprocess.Popen[bytes]:
        self.last = subprocess.Popen(
            [*MLSHIP, *words, "--json"],
            cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        return self.last

    def other(self) -> str:
        """The good bundle that does not answer now."""
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        line.request("POST", PATH, self.body)
        answers = json.loads(line.getresponse().read())["model_version"]
        line.close()
        return "conform:second" if answers == self.bundles.first.digest else "conform:first"

    def entries(self) -> list[Entry]:
        return Ledger(open_store(f"dir://{self.folder}/ledger"), "prod/conform").entries()


@pytest.fixture
def life(tmp_path: Path, kit: tuple[str, Bundles], sshd: SshServer) -> Iterator[Life]:
    """The first bundle is live; all of the kit's are signed, but for those in its own registry."""
    shutil.copytree(kit[0].removeprefix("dir://"), tmp_path / "registry")
    places = {"base": tmp_path / "base", "ledger": tmp_path / "ledger", "python": PYTHON}
    toml = PROJECT.format(address=sshd.address, key=sshd.key, **places)
    (tmp_path / "mlship.toml").write_text(toml)
    sshd.known_in(tmp_path / "known_hosts")
    own = {"MLSHIP_REGISTRY": f"dir://{tmp_path}/registry", "MLSHIP_HOME": str(tmp_path / "mlship")}
    life = Life(tmp_path, {**os.environ, **own}, kit[1], f"{kit[0]}/conform:second")
    life.done("key", "generate", "release.key")
    for kind in ("first", "second", *BAD):
        life.done("sign", f"conform:{kind.replace('_', '-')}", "--key", "release.key")
    life.done("deploy", "prod", "conform:first")
    (endpoint,) = life.done("status", "prod")["endpoints"]
    life.port = int(endpoint["url"].rpartition(":")[2])
    life.body = json.dumps({"inputs": kit[1].first.golden()["inputs"]}).encode()
    yield life
    life.done("destroy", "prod", "--yes", "--purge")
    assert not (tmp_path / "base").exists()


def do(life: Life, step: str, chance: random.Random) -> None:
    if step == "good":
        life.done("deploy", "prod", life.other())
    elif step == "killed":
        life.killed(chance.uniform(0.5, 6.0), "deploy", "prod", life.other())
    elif step == "rollback":
        life.done("rollback", "prod")
    elif step == "unsigned":
        life.refused(9, "deploy", "prod", life.unsigned)
    else:
        patience = ("--timeout", "10") if step == "never_ready" else ()
        life.refused(8, "deploy", "prod", f"conform:{step.replace('_', '-')}", *patience)


def lived(life: Life, steps: list[str], seed: str, lasts: float, tell: Callable[[str], None]) -> None:
    """Do `steps` in an order of chance, at even distances in `lasts` seconds if they are quick enough."""
    chance = random.Random(seed)
    chance.shuffle(steps)
    most = capacity(life, min(5.0, 2.0 + lasts))
    began = time.monotonic()
    with steady_load(life.port, life.body, SHARE * most, KEPT) as told:
        life.done("deploy", "prod", life.other())  # so that there is something to roll back to
        for number, step in enumerate(steps):
            time.sleep(max(0.0, began + lasts * number / len(steps) - time.monotonic()))
            do(life, step, chance)
        time.sleep(max(0.0, began + lasts - time.monotonic()))
    took, count = time.monotonic() - began, sum(told["answers"].values())
    tell(f"{', '.join(steps)}: {count} requests in {took:.0f} s, of {most:.0f} a second at most")
    assert told["failures"] == []
    good = {life.bundles.first.digest, life.bundles.second.digest}
    assert set(told["answers"]) == good
    assert all(len(values) == 1 for values in told["values"].values()), "each digest gives its own answer"
    assert too_early(life.entries(), told["changes"]) == []
    status = life.done("status", "prod")
    assert (status["healthy"], status["problems"], status["interrupted"]) == (True, [], None)


def capacity(life: Life, lasts: float) -> float:
    """Requests a second that the same clients get answered when they do not wait."""
    with steady_load(life.port, life.body, 0, KEPT) as told:
        time.sleep(lasts)
    assert told["failures"] == []
    return float(sum(told["answers"].values()) / lasts)


def too_early(entries: list[Entry], changes: list[tuple[float, str]]) -> list[str]:
    """Who answered between the end of one switch and the beginning of the next, other than who was switched
    to: a candidate that was not proved yet, or one that was given up."""
    digest_of = {
        e.data["release"]: e.data["digest"] for e in entries if e.kind == "begin" and e.data["release"]
    }
    found, settled, live = [], 0.0, None
    for entry in entries:
        at = datetime.fromisoformat(entry.at).timestamp()
        if entry.kind == "action" and entry.data["verb"] == "shift":
            if live is not None:
                found += [
                    f"{digest} answered {when - settled:.2f} s after {live} had settled"
                    for when, digest in changes
                    if settled + READ < when < at and digest != live
                ]
            coming, live = digest_of.get(entry.data["arguments"]["release"]), None
        elif entry.kind == "result" and entry.data["name"] == "settle" and entry.data["ok"]:
            settled, live = at, coming
    return found


@pytest.mark.slow
def test_ten_minutes(life: Life, request: pytest.FixtureRequest) -> None:
    lived(life, [*WELL, *BADLY], request.config.getoption("seed"), 600.0, print)


@pytest.mark.faults
def test_a_short_while(life: Life, some: Some) -> None:
    steps = ["killed", "rollback", "unsigned", random.Random(some.seed).choice(BAD)]
    lived(life, steps, some.seed, 0.0, print)
