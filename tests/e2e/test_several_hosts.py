"""One service on two machines by the command line: deployed to, upgraded under load, broken, repaired, rolled
back and removed. Two sshd's whose users have homes of their own stand for the machines."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kit_bundles import WarmHome
from ssh_server import SshServer, ssh_server
from steady_clients import SteadyClients

from mlship.bundle.open import OpenBundle
from mlship.target.conformance import Bundles

pytestmark = [pytest.mark.e2e, pytest.mark.server, pytest.mark.faults, pytest.mark.timeout(900)]

PYTHON = str(Path(sys.executable).resolve())
MLSHIP = [sys.executable, "-m", "mlship.cli.main"]
PROJECT = """\
[project]
name = "conform"

[model]
source = "m.joblib"

[targets.prod]
type = "ssh"
hosts = ["{a}", "{b}"]
key = "{key}"
base = "~/models"
python = "python-of-host"
workers = 1
drain_timeout = 10
ready_timeout = 240
access_log = true
units = "none"
"""
Said = tuple[int, dict[str, Any]]


@dataclass
class Pair:
    """The project of a target with two machines, and what stands for them."""

    folder: Path
    environment: dict[str, str]
    servers: tuple[SshServer, SshServer]
    bundles: Bundles

    @property
    def names(self) -> list[str]:
        return [str(server.address) for server in self.servers]

    @property
    def homes(self) -> list[Path]:
        return [server.home for server in self.servers if server.home]

    def run(self, *words: str) -> Said:
        done = subprocess.run(
            [*MLSHIP, *words, "--json"],
            cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=600,
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, json.loads(done.stdout)

    def done(self, *words: str) -> dict[str, Any]:
        code, said = self.run(*words)
        assert code == 0, said
        return dict(said["result"])

    def serve(self) -> dict[str, str]:
        """The digest that is live on each machine."""
        hosts = self.done("status", "prod")["hosts"]
        return {host["host"]: host["live"]["digest"] for host in hosts if host["live"]}

    def deploy_and_stop_at(
        self, verb: str, host: str, then: Callable[[subprocess.Popen[bytes]], object]
    ) -> Said:
        """Deploy the second bundle; `then` is done while it stands still at `verb` on `host`."""
        words = [*MLSHIP, "deploy", "prod", "conform:second", "--json"]
        seen = set(self._entries())
        with subprocess.Popen(words, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE) as child:
            while child.poll() is None:
                new = [json.loads(path.read_bytes()) for path in set(self._entries()) - seen]
                here = [entry for entry in new if entry["kind"] == "action" and entry["data"]["host"] == host]
                if verb in [entry["data"]["verb"] for entry in here]:
                    child.send_signal(signal.SIGSTOP)
                    then(child)
                    child.send_signal(signal.SIGCONT)
                    break
                time.sleep(0.005)
            out = child.communicate(timeout=600)[0]
        return child.returncode, json.loads(out) if out else {}

    def _entries(self) -> list[Path]:
        """os.walk: folders come and go meanwhile."""
        walk = (Path(folder) for home in self.homes for folder, _, _ in os.walk(home))
        found = (path for folder in walk if folder.name == "entries" for path in folder.glob("*"))
        return [path for path in found if path.name.isdigit()]


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> WarmHome:
    return WarmHome(tmp_path_factory.mktemp("warm"), ("a/models", "b/models"))


@pytest.fixture
def pair(
    tmp_path: Path, warm: WarmHome, kit: tuple[str, Bundles], require: Callable[[str], None]
) -> Iterator[Pair]:
    require("sshd")
    with ExitStack() as stack:
        servers = []
        warm.open()
        for name in ("a", "b"):
            folder, home = tmp_path / f"sshd-{name}", warm.base(f"{name}/models").parent
            folder.mkdir()
            home.mkdir(parents=True, exist_ok=True)
            _link_python(home)
            servers.append(stack.enter_context(ssh_server(folder, home=home)))
        a, b = servers
        keys = b.folder / "authorized_keys"
        keys.write_text(keys.read_text() + (a.folder / "authorized_keys").read_text())
        (tmp_path / "mlship.toml").write_text(PROJECT.format(a=a.address, b=b.address, key=a.key))
        known = [f"[127.0.0.1]:{server.port} {server.host_key}\n" for server in servers]
        (tmp_path / "known_hosts").write_text("".join(known))
        own = {"MLSHIP_REGISTRY": kit[0], "MLSHIP_HOME": str(tmp_path / "mlship")}
        pair = Pair(tmp_path, {**os.environ, **own}, (a, b), kit[1])
        yield pair
        warm.keep()
        pair.run("destroy", "prod", "--yes", "--purge")
        assert not [path for home in pair.homes for path in home.iterdir()], "something is left"


def test_the_life_of_a_service_on_two_hosts(pair: Pair) -> None:
    first, second = pair.bundles.first.digest, pair.bundles.second.digest
    a, b = pair.names
    begun = pair.done("deploy", "prod", "conform:first")
    assert set(begun["proofs"]) == {a, b}
    seen = pair.done("status", "prod")
    assert (seen["healthy"], [host["healthy"] for host in seen["hosts"]]) == (True, [True, True])
    urls = {endpoint["onlyOn"]: endpoint["url"] for endpoint in seen["endpoints"]}
    assert set(urls) == {a, b}
    assert pair.run("plan", "prod", "conform:first", "--detailed-exitcode")[0] == 0

    body, right = asked_of_both(pair.bundles)
    with SteadyClients(urls.values(), "/v2/models/conform/infer", body, right) as clients:
        pair.done("plan", "prod", "conform:second", "--out", "saved.plan")
        pair.done("deploy", "--plan", "saved.plan")
    assert clients.failures == []
    assert clients.answers == {url: [first, second] for url in urls.values()}
    assert clients.count > 100

    pair.done("rollback", "prod")
    with SteadyClients(urls.values(), "/v2/models/conform/infer", body, right) as clients:
        code, said = pair.deploy_and_stop_at("shift", a, lambda _: pair.servers[1].fall())
    assert (code, said["error"]["kind"]) == (11, "not-restored"), said
    assert f"{b} cannot be reached" in said["error"]["what"]
    assert clients.failures == [], "of the host that is out of reach, too"
    seen = pair.done("status", "prod")
    assert [(host["reached"], bool(host["live"])) for host in seen["hosts"]] == [(True, True), (False, False)]
    assert seen["live"]["digest"] == first
    assert pair.done("invoke", "prod", "--data", json.dumps(body))["digest"] == first
    for words in (("deploy", "prod", "conform:second"), ("rollback", "prod"), ("destroy", "prod", "--yes")):
        code, said = pair.run(*words)
        assert (code, said["error"]["kind"]) == (6, "target"), said
    pair.servers[1].start()
    repaired = pair.done("repair", "prod")
    assert repaired["release"]["digest"] == first
    assert pair.serve() == {a: first, b: first}
    seen = pair.done("status", "prod")
    assert (seen["healthy"], seen["problems"]) == (True, [])
    assert len({host["live"]["number"] for host in seen["hosts"]}) == 1

    logs = pair.done("logs", "prod")["lines"]
    assert {line.partition(" | ")[0] for line in logs} == {a, b}
    told = [(r["why"], r["outcome"]) for r in pair.done("history", "prod")["rollouts"]]
    assert told == [
        ("deploy", "succeeded"),
        ("deploy", "succeeded"),
        ("rollback", "succeeded"),
        ("deploy", "not-restored"),
        ("repair", "succeeded"),
    ]
    pair.done("destroy", "prod", "--yes", "--purge")
    assert [list(home.iterdir()) for home in pair.homes] == [[], []]


def asked_of_both(bundles: Bundles) -> tuple[dict[str, Any], dict[str, float]]:
    """A request of one row, and the right answer by bundle digest."""
    known = {bundle.digest: _answers(bundle) for bundle in (bundles.first, bundles.second)}
    row = next(row for row in known[bundles.first.digest] if row in known[bundles.second.digest])
    inputs = [{"name": name, "datatype": "FP64", "shape": [1], "data": [value]} for name, value in row]
    right = {digest: answers[row] for digest, answers in known.items()}
    assert len(set(right.values())) == 2
    return {"inputs": inputs}, right


def _answers(bundle: OpenBundle) -> dict[tuple[tuple[str, float], ...], float]:
    """The golden answers by row."""
    golden = bundle.golden()
    names = [tensor["name"] for tensor in golden["inputs"]]
    rows = zip(*(tensor["data"] for tensor in golden["inputs"]), strict=True)
    answers = golden["outputs"][0]["data"]
    return {tuple(zip(names, row, strict=True)): y for row, y in zip(rows, answers, strict=True)}


@pytest.mark.kinds("fault")
@pytest.mark.parametrize("fault", ["full", "killed"])
def test_what_is_broken_on_the_second_host_changes_neither(pair: Pair, fault: str) -> None:
    first, home = pair.bundles.first.digest, pair.homes[1]
    a, b = pair.names
    pair.done("deploy", "prod", "conform:first")
    incoming = home / "models" / "incoming"
    if fault == "full":  # nothing can be written there
        shutil.rmtree(incoming, ignore_errors=True)
        incoming.write_bytes(b"")
        code, said = pair.run("deploy", "prod", "conform:second")
        incoming.unlink()
    else:  # its processes, live and candidate, when the other host has switched already
        code, said = pair.deploy_and_stop_at("settle", a, lambda _: _kill(home))
    assert (code, b in said["error"]["what"]) == (6 if fault == "full" else 8, True), said
    assert pair.serve() == {a: first, b: first}
    status = pair.done("status", "prod")
    assert (status["healthy"], status["problems"]) == (True, [])
    assert pair.done("history", "prod")["rollouts"][-1]["outcome"] == "rolled-back"
    _link_python(home)
    pair.done("deploy", "prod", "conform:second")


def test_a_host_that_was_replaced_is_brought_up_alone(pair: Pair) -> None:
    second = pair.bundles.second.digest
    a, b = pair.names
    pair.done("deploy", "prod", "conform:first")
    pair.done("deploy", "prod", "conform:second")
    _kill(pair.homes[1])
    shutil.rmtree(pair.homes[1] / "models")
    status = pair.done("status", "prod")
    assert not status["healthy"]
    assert status["problems"] == [
        f"{b} runs nothing, not release 2 of {status['live']['reference']} (the next deploy brings it there)"
    ]
    planned = pair.done("plan", "prod", "conform:second")["plan"]["actions"]
    assert {action["host"] for action in planned if action["verb"] != "take"} == {b}
    assert pair.run("rollback", "prod")[0] == 2, "release 1 is on one host only"
    pair.done("deploy", "prod", "conform:second")
    assert pair.serve() == {a: second, b: second}
    assert {host["live"]["number"] for host in pair.done("status", "prod")["hosts"]} == {2}


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("verb", ["take", "send", "stage", "start", "prove", "shift", "settle"])
def test_a_deployer_that_is_killed_is_put_right(pair: Pair, verb: str, which: int) -> None:
    pair.done("deploy", "prod", "conform:first")
    code, _ = pair.deploy_and_stop_at(verb, pair.names[which], lambda child: child.kill())
    assert code == -signal.SIGKILL
    assert pair.done("status", "prod")["interrupted"]
    pair.done("repair", "prod")
    assert len(set(pair.serve().values())) == 1
    status = pair.done("status", "prod")
    assert (status["healthy"], status["problems"]) == (True, [])


def _link_python(home: Path) -> None:
    folder = Path(f"{home}-bin")
    folder.mkdir(exist_ok=True)
    (folder / "new").symlink_to(PYTHON)
    (folder / "new").replace(folder / "python-of-host")


def _kill(home: Path) -> None:
    """SIGKILL of everything that runs below a home."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if f"{home}/" in words:
            os.kill(int(entry.name), signal.SIGKILL)
