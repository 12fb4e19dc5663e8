"""A service's life on `local` by the command line alone: what it says and how it exits."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlship.bundle.archive import write_layer
from mlship.bundle.manifest import build_config, build_manifest, spec_descriptor
from mlship.bundle.open import open_bundle
from mlship.digest import sha256
from mlship.reference import Reference
from mlship.registry import open_registry
from mlship.registry.protocol import Registry
from mlship.target.conformance import Bundles
from mlship_runtime.bundle import canonical

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

MLSHIP = [sys.executable, "-m", "mlship.cli.main"]
Run = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture(scope="module")
def registry(kit: tuple[str, Bundles]) -> tuple[str, Bundles]:
    return kit


@pytest.fixture
def own_home(warm: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLSHIP_HOME", str(warm.open()))
    return Path(warm.path)


@pytest.fixture
def run(tmp_path: Path, own_home: Path, warm: Any, registry: tuple[str, Bundles]) -> Iterator[Run]:
    """`run("deploy", "local", ref)` gives the exit code and the envelope; the target is empty afterwards."""
    environment = {**os.environ, "MLSHIP_REGISTRY": registry[0], "MLSHIP_HOME": str(own_home)}

    def do(*words: str, given: str = "") -> tuple[int, dict[str, Any]]:
        done = subprocess.run(
            [*MLSHIP, *words, "--json"],
            cwd=tmp_path, env=environment, input=given, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, json.loads(done.stdout)

    yield do
    warm.keep()
    if any(path.is_file() for path in (own_home / "ledger" / "local").rglob("*")):
        assert do("destroy", "local", "--yes", "--purge")[0] == 0
    else:
        assert not (own_home / "targets" / "local" / "services" / "conform").exists(), "it would run on"
        warm.cool()
    assert not (own_home / "targets" / "local").exists()
    assert not [path for path in (own_home / "ledger" / "local").rglob("*") if path.is_file()]


def deployed(run: Run, ref: str) -> dict[str, Any]:
    code, said = run("deploy", "local", ref)
    assert code == 0, said
    return dict(said["result"])


def test_plan_tells_changes_by_its_exit_code_and_can_be_saved(run: Run, tmp_path: Path) -> None:
    words = ("plan", "local", "conform:first", "--detailed-exitcode")
    assert run(*words, "--out", "plan.json")[0] == 3
    assert run("deploy", "local", "--plan", "plan.json")[0] == 0
    assert run(*words)[0] == 0
    code, said = run("deploy", "local", "--plan", "plan.json")
    assert (code, said["error"]["kind"]) == (6, "target")
    assert "no longer fits" in said["error"]["what"]
    code, said = run("plan", "local", "conform:second", "--out", str(tmp_path))
    assert (code, "cannot write the plan" in said["error"]["what"]) == (2, True)


def test_upgrade_rollback_history(run: Run) -> None:
    first = deployed(run, "conform:first")
    second = deployed(run, "conform:second")
    assert second["release"]["digest"] != first["release"]["digest"]
    code, said = run("rollback", "local")
    assert (code, said["result"]["release"]["digest"]) == (0, first["release"]["digest"])
    _, told = run("history", "local")
    assert [(r["why"], r["outcome"]) for r in told["result"]["rollouts"]] == [
        ("deploy", "succeeded"),
        ("deploy", "succeeded"),
        ("rollback", "succeeded"),
    ]
    moment = told["result"]["rollouts"][1]["ended"]
    assert run("history", "local", "--at", moment)[1]["result"]["live"]["number"] == 2
    assert run("history", "local", "--at", "2001-01-01")[1]["result"]["live"] is None
    assert run("history", "local", "--at", moment[:10])[1]["result"]["live"]["number"] == 3
    assert run("history", "local", "--at", "soon")[0] == 2
    assert run("history", "local", "--at", "2999-01-01")[0] == 2
    assert run("rollback", "local", "--to", "7")[0] == 2


def test_secrets_stay_in_the_record_of_the_release(run: Run, own_home: Path, tmp_path: Path) -> None:
    """Two values, an upgrade with a saved plan, a rollback: the ledger and all reports have names only."""

    def configure(secret: str) -> None:
        (tmp_path / "mlship.toml").write_text(
            '[project]\nname = "conform"\n[model]\nsource = "m.joblib"\n'
            f'[targets.local]\ntype = "local"\nenvironment = {{ TOKEN = "{secret}" }}\n'
        )

    said = []
    configure("hush-first")
    said.append(run("deploy", "local", "conform:first"))
    configure("hush-second")
    said.append(run("plan", "local", "conform:second", "--out", "plan.json"))
    said.append(run("deploy", "local", "--plan", "plan.json"))
    said.append(run("status", "local"))
    said.append(run("rollback", "local"))
    said.append(run("history", "local"))
    assert [code for code, _ in said] == [0] * 6
    assert "hush" not in json.dumps(said)
    assert said[3][1]["result"]["live"]["settings"]["environment"] == ["TOKEN"]
    holders = {path for path in own_home.rglob("*") if path.is_file() and b"hush" in path.read_bytes()}
    records = own_home / "targets/local/services/conform/releases"
    assert holders == {records / f"{n}.json" for n in (1, 2, 3)}
    assert {path.stat().st_mode & 0o777 for path in holders} == {0o600}
    values = [json.loads((records / f"{n}.json").read_bytes())["environment"] for n in (1, 2, 3)]
    assert [value["TOKEN"] for value in values] == ["hush-first", "hush-second", "hush-first"]
    plan = tmp_path / "plan.json"
    assert b"hush" not in plan.read_bytes()
    assert plan.stat().st_mode & 0o777 == 0o600
    assert (own_home / "targets/local").stat().st_mode & 0o777 == 0o700


def test_wrong_answers_are_rolled_back_with_8(run: Run) -> None:
    first = deployed(run, "conform:first")
    code, said = run("deploy", "local", "conform:answers-wrongly")
    assert (code, said["error"]["kind"]) == (8, "unhealthy")
    assert "row" in said["error"]["cause"] or "row" in said["error"]["what"]
    code, told = run("status", "local")
    assert (code, told["result"]["live"]["digest"]) == (0, first["release"]["digest"])
    assert told["result"]["healthy"]
    code, said = run("logs", "local", "--release", "2")
    assert (code, bool(said["result"]["lines"])) == (0, True), "its log outlives it"


@pytest.mark.parametrize("answer", ["deploy", "repair"])
def test_killed_deploy_is_told_by_status_and_put_right(
    run: Run, own_home: Path, registry: tuple[str, Bundles], answer: str
) -> None:
    first = deployed(run, "conform:first")
    kill_at(own_home, "start", registry[0])
    code, told = run("status", "local")
    assert code == 0
    assert told["result"]["interrupted"]["reference"].startswith("conform")
    assert any("interrupted" in problem for problem in told["result"]["problems"])
    assert told["result"]["live"]["digest"] == first["release"]["digest"]
    words = ("deploy", "local", "conform:second") if answer == "deploy" else ("repair", "local")
    code, said = run(*words)
    assert code == 0, said
    _, told = run("status", "local")
    assert told["result"]["interrupted"] is None
    assert len(told["result"]["releases"]) == (2 if answer == "deploy" else 1)


@pytest.mark.parametrize("verb", ["send", "start"])
def test_first_deploy_that_was_killed_is_repaired(
    run: Run, own_home: Path, registry: tuple[str, Bundles], verb: str
) -> None:
    kill_at(own_home, verb, registry[0])
    told = run("status", "local")[1]["result"]
    assert told["interrupted"] is not None
    assert told["lock"] is None, "its owner is gone"
    assert run("repair", "local")[0] == 0
    told = run("status", "local")[1]["result"]
    assert (told["interrupted"], told["releases"], told["problems"]) == (None, [], [])


@pytest.mark.parametrize("answer", ["status", "deploy", "repair", "destroy"])
def test_what_a_killed_deploy_has_sent_does_not_stay(
    run: Run, own_home: Path, registry: tuple[str, Bundles], answer: str
) -> None:
    incoming = own_home / "targets" / "local" / "incoming" / "conform"
    deployed(run, "conform:first")
    kill_at(own_home, "send", registry[0], subject="manifest.json")
    assert list(incoming.iterdir())
    if answer in ("deploy", "repair"):
        assert (
            run(*(("deploy", "local", "conform:first") if answer == "deploy" else ("repair", "local")))[0]
            == 0
        )
        assert not incoming.exists()
    elif answer == "destroy":
        assert run("destroy", "local", "--yes")[0] == 0
        assert not incoming.exists()
    else:
        assert run("status", "local")[1]["result"]["interrupted"]


def test_purge_takes_what_is_left_of_a_service_that_is_gone(
    run: Run, own_home: Path, registry: tuple[str, Bundles]
) -> None:
    deployed(run, "conform:first")
    code, said = run("destroy", "local", "--yes")
    assert (code, said["result"]["changed"]) == (0, True)
    assert (own_home / "targets" / "local" / "tools").is_dir()
    code, said = run("destroy", "local", "--yes", "--purge")
    assert (code, said["result"]["changed"], said["result"]["purged"]) == (0, True, True)
    assert not (own_home / "targets" / "local").exists()


def test_what_runs_under_another_name_than_the_project_is_named(run: Run, tmp_path: Path) -> None:
    deployed(run, "conform:first")
    toml = '[project]\nname = "other"\nversion = "1"\n[model]\nsource = "m"\n'
    (tmp_path / "mlship.toml").write_text(toml)
    code, said = run("destroy", "local", "--yes", "--purge")
    assert (code, said["error"]["kind"]) == (2, "usage")
    assert (said["error"]["what"], said["error"]["cause"]) == ("there is no other on local", "it has conform")
    assert said["error"]["fix"] == "Name the service: mlship destroy local/conform"
    code, said = run("status", "local/conform")
    assert (code, said["result"]["service"], said["result"]["healthy"]) == (0, "conform", True)
    code, said = run("destroy", "local/conform", "--yes", "--purge")
    assert (code, said["result"]["service"], said["result"]["changed"]) == (0, "conform", True)
    code, said = run("destroy", "local", "--yes", "--purge")
    assert (code, said["result"]["service"], said["result"]["changed"]) == (0, "other", False)


def kill_at(home: Path, verb: str, registry: str, subject: str = "") -> None:
    """SIGKILL a deploy of the second bundle when the ledger says that it is at `verb` (of `subject`)."""
    environment = {**os.environ, "MLSHIP_HOME": str(home), "MLSHIP_REGISTRY": registry}
    words = [*MLSHIP, "deploy", "local", "conform:second", "--json"]
    with subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL) as child:
        entries, seen = home / "ledger" / "local" / "conform" / "entries", set(home.rglob("entries/*"))
        while child.poll() is None:
            for path in set(entries.glob("*")) - seen:
                entry = json.loads(path.read_bytes())
                if entry["kind"] != "action" or entry["data"]["verb"] != verb:
                    continue
                if entry["data"]["subject"].endswith(subject):
                    child.send_signal(signal.SIGKILL)
            time.sleep(0.002)
    assert child.returncode == -signal.SIGKILL


def test_status_names_a_process_that_hangs_and_doctor_one_that_died(run: Run, own_home: Path) -> None:
    deployed(run, "conform:first")
    (log,) = own_home.rglob("supervisor.log")
    events = [json.loads(line) for line in log.read_text().splitlines()]
    pid = next(event["pid"] for event in events if event["event"] == "worker ready")
    os.kill(pid, signal.SIGSTOP)
    code, said = run("status", "local")
    os.kill(pid, signal.SIGCONT)
    assert (code, said["result"]["healthy"]) == (0, False)
    (problem,) = said["result"]["problems"]
    assert problem.startswith(f"process {pid} of the live release does not answer")
    assert run("status", "local")[1]["result"]["problems"] == []
    os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + 60
    while (found := run("doctor", "local"))[0] != 0 and time.monotonic() < end:
        time.sleep(0.2)
    checks = {check["name"]: check for check in found[1]["result"]["checks"]}
    assert checks["restarts"]["detail"].startswith("1 (1 died); ")
    assert checks["restarts"]["detail"].endswith(f" process {pid} was killed by signal 9")
    assert {"workers", "memory", "open files", "queue", "golden examples"} <= set(checks)


def test_of_two_deploys_at_once_one_names_the_other(
    run: Run, own_home: Path, registry: tuple[str, Bundles]
) -> None:
    environment = {**os.environ, "MLSHIP_HOME": str(own_home), "MLSHIP_REGISTRY": registry[0]}
    words = [*MLSHIP, "deploy", "local", "conform:first", "--json"]
    with subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL) as first:
        while not list(own_home.rglob("entries/*")):
            time.sleep(0.002)
        first.send_signal(signal.SIGSTOP)
        code, said = run("deploy", "local", "conform:second")
        first.send_signal(signal.SIGCONT)
        assert (code, said["error"]["kind"]) == (7, "locked")
        assert str(first.pid) in said["error"]["cause"]
        assert run("deploy", "local", "conform:second", "--lock-timeout", "60")[0] == 0
    assert first.returncode == 0
    _, told = run("history", "local")
    assert [r["outcome"] for r in told["result"]["rollouts"]] == ["succeeded", "succeeded"]


def test_lock_is_named_and_can_be_broken(run: Run, own_home: Path) -> None:
    deployed(run, "conform:first")
    code = (
        "import sys,time\nfrom mlship.store import open_store\nfrom mlship.target.ledger import Ledger\n"
        "from mlship.target.lock import locked\n"
        "with locked(Ledger(open_store(sys.argv[1]), 'local/conform'), 'deploy'):\n"
        " print('held', flush=True); time.sleep(100)"
    )
    url = f"dir://{own_home}/ledger"
    with subprocess.Popen([sys.executable, "-c", code, url], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        exit_code, said = run("deploy", "local", "conform:second")
        assert (exit_code, said["error"]["kind"]) == (7, "locked")
        assert str(holder.pid) in said["error"]["cause"]
        assert run("status", "local")[1]["result"]["lock"]["owner"]["pid"] == holder.pid
        assert run("force-unlock", "local", "--yes")[0] == 0
        deployed(run, "conform:second")
        holder.kill()


def test_one_flipped_bit_in_the_registry_ends_with_4_and_runs_nothing(
    run: Run, registry: tuple[str, Bundles], tmp_path: Path, own_home: Path
) -> None:
    first = deployed(run, "conform:first")
    layer = next(x for x in registry[1].second.manifest.layers if x.role == "model")
    flawed = tmp_path / "flawed"
    shutil.copytree(registry[0].removeprefix("dir://"), flawed, copy_function=os.link)
    blob = flawed / "blobs" / "sha256" / layer.digest[7:]
    good = blob.read_bytes()
    blob.unlink()
    blob.write_bytes(good[:700] + bytes([good[700] ^ 1]) + good[701:])
    code, said = run("deploy", "local", f"dir://{flawed}/conform:second")
    assert (code, said["error"]["kind"]) == (4, "bundle")
    _, told = run("status", "local")
    assert [r["digest"] for r in told["result"]["releases"]] == [first["release"]["digest"]]


@pytest.mark.parametrize("change", ["flip", "add", "remove"])
def test_unpacked_files_are_verified_before_they_are_loaded(run: Run, own_home: Path, change: str) -> None:
    """The layers of release 1 are changed on the host; a rollback to it must not load them."""
    deployed(run, "conform:first")
    deployed(run, "conform:second")
    record = json.loads((own_home / "targets/local/services/conform/releases/1.json").read_bytes())
    model = next(p for p in record["layers"].values() if (Path(p) / "model").is_dir())
    target = Path(model, "model", "model.onnx")
    target.parent.chmod(0o755)
    target.chmod(0o644)
    if change == "flip":
        data = target.read_bytes()
        target.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
    elif change == "add":
        target.with_name("more.bin").write_bytes(b"x")
    else:
        target.unlink()
    code, said = run("rollback", "local")
    assert code == 4, said
    _, told = run("status", "local")
    assert told["result"]["live"]["reference"].endswith(":second") or told["result"]["live"]["number"] == 2
    assert told["result"]["healthy"]


def test_a_port_that_is_taken_is_named(run: Run, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        (tmp_path / "mlship.toml").write_text(
            '[project]\nname = "conform"\n[model]\nsource = "m.joblib"\n'
            f'[targets.local]\ntype = "local"\nport = {port}\n'
        )
        code, said = run("deploy", "local", "conform:first")
    assert code in (6, 8)
    assert str(port) in said["error"]["what"] + said["error"]["cause"]


@pytest.mark.parametrize("setting", ["port = 65000", 'host = "127.0.0.2"'])
def test_a_service_cannot_move_to_another_address(run: Run, tmp_path: Path, setting: str) -> None:
    deployed(run, "conform:first")
    head = '[project]\nname = "conform"\n[model]\nsource = "m.joblib"\n'
    (tmp_path / "mlship.toml").write_text(f'{head}[targets.local]\ntype = "local"\n{setting}\n')
    code, said = run("deploy", "local", "conform:first")
    assert (code, "the service listens on" in said["error"]["what"]) == (6, True)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("deploy", "nowhere", "conform:first"), 2, "no target 'nowhere'"),
        (("deploy", "local", "conform:none"), 5, "none"),
        (("deploy", "local", "other:1"), 5, "other"),
        (("deploy", "local", "Bad Name"), 2, "not a name"),
        (("status", "local"), 2, "nothing was ever deployed"),
        (("destroy", "local"), 2, ""),
    ],
)
def test_wrong_words(run: Run, words: tuple[str, ...], code: int, says: str) -> None:
    got, said = run(*words)
    assert got == code, said
    error = said["error"]
    assert says in " ".join((error["what"], error["cause"], error["fix"]))


def test_unknown_adapter_and_setting(run: Run, tmp_path: Path) -> None:
    head = '[project]\nname = "conform"\n[model]\nsource = "m.joblib"\n'
    (tmp_path / "mlship.toml").write_text(head + '[targets.far]\ntype = "teleport"\n')
    code, said = run("deploy", "far", "conform:first")
    assert (code, "teleport" in said["error"]["what"]) == (2, True)
    (tmp_path / "mlship.toml").write_text(head + '[targets.local]\ntype = "local"\nprot = 1\n')
    code, said = run("deploy", "local", "conform:first")
    assert (code, "'port'" in said["error"]["fix"]) == (2, True)


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({"a": 1.0}, "b"),
        ({"a": 1.0, "b": None}, "b"),
        ({"a": 1.0, "b": "two"}, "b"),
        ({"a": 1.0, "b": 2.0, "c": 3.0}, "c"),
    ],
)
def test_input_that_does_not_fit_names_the_column(run: Run, given: dict[str, Any], names: str) -> None:
    deployed(run, "conform:first")
    code, said = run("invoke", "local", "--data", json.dumps({"dataframe_records": [given]}))
    assert (code, said["error"]["kind"]) == (2, "usage")
    assert names in said["error"]["cause"]


MACOS = "macos-arm64-cp311-14"
PROJECT = '[project]\nname = "conform"\n[model]\nsource = "none"\n'


def of_two_platforms(registry: Registry, folder: Path) -> str:
    """conform:both, which is conform:first with another platform beside it; in a registry in `folder`."""
    first = open_bundle(registry, Reference("conform", tag="first"))
    mac = write_layer(folder / "mac.tar", "runtime", [(f"runtime/{MACOS}/x.py", b"")], platform=MACOS)
    layers = [*canonical.decode(first.manifest_bytes)["layers"][:-1], mac.descriptor()]
    document = {**first.spec.document, "files": {**first.spec.document["files"], mac.digest: mac.index()}}
    spec = canonical.encode(document)
    layers.append(spec_descriptor(spec))
    config = build_config(first.spec.name, first.spec.version, layers)
    other = open_registry(f"dir://{folder}/both")
    for layer in first.manifest.layers[:-1]:
        other.write_blob("conform", layer.digest, layer.size, first.blob(layer.digest))
    for data in (spec, config, mac.path.read_bytes()):
        other.write_blob("conform", sha256(data), len(data), [data])
    data = build_manifest(first.spec.name, first.spec.version, layers, config)
    digest = other.write_manifest("conform", data)
    other.set_tag("conform", "both", digest, None)
    return digest


def test_a_file_of_this_platform_is_imported_and_deployed(
    run: Run, registry: tuple[str, Bundles], warm: Any, tmp_path: Path
) -> None:
    warm.cool()
    (tmp_path / "mlship.toml").write_text(PROJECT)
    digest = of_two_platforms(open_registry(registry[0]), tmp_path)
    here = next(name for name in run("inspect", "default/conform:first")[1]["result"]["platforms"])
    source = f"dir://{tmp_path}/both/conform:both"
    for platform in (MACOS, here):
        assert run("export", source, f"{platform}.tar", "--platform", platform)[0] == 0
    assert run("import", f"{MACOS}.tar")[0] == 0
    code, said = run("plan", "local", "conform:both")
    (problem,) = said["result"]["problems"]
    assert (code, problem["fix"]) == (0, f"Import or pull it for {here}")
    code, said = run("deploy", "local", "conform:both")
    assert (code, said["error"]["kind"]) == (6, "target")

    (tmp_path / ".mlship").rename(tmp_path / "before")
    assert run("import", f"{here}.tar")[1]["result"]["absent"] == ["mac.tar"]
    release = deployed(run, "conform:both")["release"]
    assert (release["digest"], release["platform"]) == (digest, here)
    assert run("push", "conform:both")[0] == 5


def test_a_target_keeps_its_policy_and_what_crossed(run: Run, tmp_path: Path) -> None:
    """What it denies is not sent; what it lets in is written down before and after."""
    ledger = tmp_path / "ledger"
    (tmp_path / "mlship.toml").write_text(
        '[project]\nname = "trial"\ndomain = "eu"\n[model]\nsource = "m"\n'
        f'[targets.local]\ntype = "local"\nservice = "conform"\ndomain = "cloud"\nledger = "dir://{ledger}"\n'
    )
    rules = 'schema = 1\nname = "rules"\nversion = {}\ndomain = "cloud"\n{}'
    for version, deny, ends in ((1, '[deny.all]\nto = ["cloud"]\n', 9), (2, "", 0)):
        (tmp_path / "policy-of-target.toml").write_text(rules.format(version, deny))
        assert run("policy", "set", "local", "policy-of-target.toml")[0] == 0
        code, planned = run("plan", "local", "conform:first")
        assert code == ends
        code, said = run("deploy", "local", "conform:first")
        assert code == ends, said
        if deny:
            assert "rules refuses it by deny.all" in said["error"]["what"]
            assert not (ledger / "local").exists()
    assert planned["result"]["gates"][0]["gate"] == "domain"
    assert run("deploy", "local", "conform:first")[1]["result"]["changed"] is False
    code, said = run("policy", "audit", "local", "--verify")
    assert (code, said["result"]["unfinished"]) == (0, [])
    facts = [entry["fact"] for entry in said["result"]["entries"]]
    assert [fact["kind"] for fact in facts] == ["policy", "refused", "policy", "allowed", "done"]
    assert {fact["digest"] for fact in facts if fact["verb"] == "deploy"} == {
        planned["result"]["plan"]["wanted"]["digest"]
    }
    assert run("destroy", "local", "--yes", "--purge")[0] == 0
    assert run("policy", "audit", "local", "--verify")[0] == 0
