"""A service on real processes: switches under load, deaths of workers and supervisors, releases that fail."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import time
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.targets.local.conftest import Load, Onhost, alive, infer, infer_on, processes_of, remaining

from mlship_runtime.supervision.control import request
from mlship_runtime.supervision.layout import Site

SLEEPS = "import time\ntime.sleep(3600)\ndef reduce(columns):\n    return columns\n"
CRASHES = "import os\nos.kill(os.getpid(), 11)\n"
RAISES = "def reduce(columns):\n    raise RuntimeError('no unit given')\n"
READS_HOST = """
import os
def reduce(columns):
    return {"X": columns["X"] * (1 if "UNIT" in os.environ else 3)}
"""
SLOW = """
import time
def reduce(columns):
    time.sleep(0.1 if len(columns["X"]) == 1 else 0)
    return columns
"""
SPIES = """
import os
def reduce(columns):
    print("seen:", sorted(os.environ), flush=True)
    return columns
"""


def test_a_release_from_stage_to_answers(onhost, make_bundle) -> None:
    bundle = make_bundle(2.0)
    settled = onhost.deploy(1, bundle)
    assert settled["digest"] == bundle.digest
    assert infer(settled["port"], (1.0, 2.5)) == (bundle.digest, pytest.approx(7.0))
    seen = onhost("observe")
    assert (seen["live"], seen["port"], seen["supervisor"]["alive"]) == (1, settled["port"], True)
    assert seen["service"]["port"] == settled["port"], "the port that was free is kept"
    (release,) = seen["releases"]
    assert (release["state"], release["served"], release["error"]) == ("serving", True, None)
    assert [(worker["state"], worker["restarts"]) for worker in release["workers"]] == [("serving", 0)]


def test_two_switches_under_load_lose_no_request(onhost, make_bundle) -> None:
    first, second = make_bundle(2.0), make_bundle(3.0)
    port = onhost.deploy(1, first, workers=2)["port"]
    with Load(port, clients=8) as load:
        time.sleep(0.5)
        onhost.deploy(2, second, workers=2)
        time.sleep(0.5)
        onhost("start", release=1, timeout=30)
        onhost("shift", release=1, drain=10)
        onhost("settle", release=1, timeout=20)
        time.sleep(0.5)
    assert load.failures == []
    assert set(load.answers) == {first.digest, second.digest}
    assert load.count > 500
    assert load.connections == 8, "connections are handed over, not closed"
    assert onhost("observe")["live"] == 1
    assert onhost.observed(2)["state"] == "stopped"


def test_shift_and_start_can_be_repeated(onhost, make_bundle) -> None:
    onhost.deploy(1, make_bundle(2.0))
    before = onhost.pids(1)
    onhost("start", release=1, timeout=30)
    onhost("shift", release=1, drain=5)
    onhost("shift", release=1, drain=5)
    assert onhost.pids(1) == before


def test_a_candidate_answers_on_its_own_socket_only(onhost, make_bundle) -> None:
    first, second = make_bundle(2.0), make_bundle(3.0)
    port = onhost.deploy(1, first)["port"]
    onhost.stage(2, second)
    started = onhost("start", release=2, timeout=30)
    assert started["state"] == "ready"
    connection = http.client.HTTPConnection("candidate")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(started["workers"][0]["socket"])
    assert infer_on(connection)[0] == second.digest
    connection.close()
    assert {infer(port)[0] for _ in range(10)} == {first.digest}
    assert onhost.observed(2)["served"] is False
    onhost("remove", releases=[2])
    assert len(onhost("observe")["releases"]) == 1


def test_a_killed_worker_is_replaced_and_nobody_is_refused(onhost, make_bundle) -> None:
    port = onhost.deploy(1, make_bundle(2.0))["port"]
    (before,) = onhost.pids(1)
    os.kill(before, signal.SIGKILL)
    answers = [infer(port) for _ in range(20)]  # they wait in the queue of the socket
    assert len(answers) == 20
    os.kill(onhost.pids(1)[0], signal.SIGKILL)
    assert onhost("start", release=1, timeout=30)["workers"][0]["state"] == "serving"
    seen = onhost.wait(1, "serving")
    assert seen["workers"][0]["pid"] != before
    assert seen["workers"][0]["restarts"] == 2


def test_one_of_two_workers_can_die_and_what_it_counted_stays(onhost, make_bundle) -> None:
    port = onhost.deploy(1, make_bundle(2.0), workers=2)["port"]
    for _ in range(10):
        infer(port)
    assert answers_counted(port) == 10
    os.kill(onhost.pids(1)[0], signal.SIGKILL)
    for _ in range(20):
        infer(port)
    end = time.monotonic() + 15
    while [worker["state"] for worker in onhost.observed(1)["workers"]] != ["serving"] * 2:
        assert time.monotonic() < end
        time.sleep(0.1)
    assert {answers_counted(port) for _ in range(8)} == {30}, "whichever worker tells"


def answers_counted(port: int) -> float:
    """How many predictions /metrics says that there were."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
        figures = text_string_to_metric_families(answer.read().decode())
    (count,) = (
        sample.value
        for figure in figures
        for sample in figure.samples
        if sample.name == "mlship_requests_total" and sample.labels["route"] == "infer"
    )
    return count


def test_a_live_release_that_cannot_come_back_says_why_and_goes_on_trying(onhost, make_bundle) -> None:
    bundle = make_bundle(400.0)
    port = onhost.deploy(1, bundle)["port"]
    model = onhost.base / "layers" / bundle.layers[0].digest[7:] / "model" / "model.onnx"
    whole = model.read_bytes()
    model.chmod(0o644)
    model.write_bytes(whole[:-1] + b"?")
    os.kill(onhost.pids(1)[0], signal.SIGKILL)
    end = time.monotonic() + 15
    while (seen := onhost.observed(1))["errorKind"] != "bundle":
        assert time.monotonic() < end, seen
        time.sleep(0.1)
    assert seen["state"] == "starting"
    model.write_bytes(whole)
    assert onhost.wait(1, "serving")["error"] is None
    assert infer(port)[0] == bundle.digest


def test_a_supervisor_dies_and_the_next_one_adopts(onhost, make_bundle) -> None:
    first, second = make_bundle(2.0), make_bundle(3.0)
    port = onhost.deploy(1, first, workers=2)["port"]
    workers = onhost.pids(1)
    with Load(port) as load:
        os.kill(onhost("observe")["supervisor"]["pid"], signal.SIGKILL)
        time.sleep(0.5)
        seen = onhost("observe")
        assert (seen["supervisor"]["alive"], seen["live"]) == (False, 1)
        assert seen["releases"][0]["state"] == "serving", "seen from the workers themselves"
        opened = onhost("open", host="127.0.0.1", port=0)
        assert (opened["host"], opened["port"]) == ("127.0.0.1", port)
        assert onhost.pids(1) == workers
        assert onhost.observed(1)["state"] == "serving"
        onhost.deploy(2, second)
    assert load.failures == []
    assert load.connections == load.clients
    assert sorted(load.answers) == sorted([first.digest, second.digest])
    assert not any(Path(f"/proc/{pid}").exists() and alive(pid) for pid in workers)


def test_an_adopted_worker_that_dies_is_replaced(onhost, make_bundle) -> None:
    port = onhost.deploy(1, make_bundle(2.0))["port"]
    (worker,) = onhost.pids(1)
    os.kill(onhost("observe")["supervisor"]["pid"], signal.SIGKILL)
    onhost("open", host="127.0.0.1", port=0)
    os.kill(worker, signal.SIGKILL)
    infer(port)
    onhost.wait(1, "serving")


def test_when_all_died_the_next_supervisor_serves_what_was_live(onhost, make_bundle) -> None:
    bundle = make_bundle(2.0)
    port = onhost.deploy(1, bundle)["port"]
    for pid in processes_of(onhost):
        os.kill(pid, signal.SIGKILL)
    seen = onhost("observe")
    assert (seen["live"], seen["port"], seen["releases"][0]["state"]) == (1, port, "stopped")
    onhost("open", host="127.0.0.1", port=0)
    onhost.wait(1, "serving")
    assert infer(port)[0] == bundle.digest


def test_a_switch_that_was_cut_short_is_taken_back(onhost, make_bundle) -> None:
    """Killed after the new release accepted and before `live.json`: two releases answer on one port."""
    first, second = make_bundle(2.0), make_bundle(3.0)
    port = onhost.deploy(1, first)["port"]
    onhost.stage(2, second)
    onhost("start", release=2, timeout=30)
    os.kill(onhost("observe")["supervisor"]["pid"], signal.SIGKILL)
    layout = Site(onhost.base.resolve()).service(onhost.service)
    (candidate,) = [sockets for sockets in layout.found_workers() if sockets.number == 2]
    request(candidate.control, {"verb": "accept"})
    with Load(port) as load:
        time.sleep(0.3)
        onhost("open", host="127.0.0.1", port=0)
        onhost.wait(2, "stopped")
    assert load.failures == []
    assert infer(port)[0] == first.digest
    onhost.deploy(2, second)


def test_wrong_answers_are_refused_and_the_old_release_goes_on(onhost, make_bundle) -> None:
    first, wrong = make_bundle(2.0), make_bundle(3.0, reduction=READS_HOST)
    port = onhost.deploy(1, first)["port"]
    onhost.stage(2, wrong)
    error = onhost.refused("start", release=2, timeout=30)
    assert error["kind"] == "not-ready"
    assert error["what"].startswith("tiny answers differently here than at build")
    assert error["cause"] == "row 0, y: expected 9.0, got 27.0"
    seen = onhost.observed(2)
    assert (seen["state"], seen["workers"]) == ("failed", [])
    assert "expected 9.0, got 27.0" in seen["error"]
    assert infer(port)[0] == first.digest
    onhost.stage(3, wrong, environment={"UNIT": "cm"})
    assert onhost("start", release=3, timeout=30)["state"] == "ready"


@pytest.mark.parametrize(
    ("reduction", "words"),
    [
        (CRASHES, "was killed by signal 11 before it was ready"),
        (RAISES, "RuntimeError: no unit given"),
        ("def reduce(columns):\n", "IndentationError"),
    ],
    ids=["crashes", "raises", "does not compile"],
)
def test_a_release_that_cannot_load_fails_with_its_reason(onhost, make_bundle, reduction, words) -> None:
    first = make_bundle(2.0)
    port = onhost.deploy(1, first)["port"]
    onhost.stage(2, make_bundle(4.0, reduction=reduction))
    error = onhost.refused("start", release=2, timeout=30)
    assert words in f"{error['what']}: {error['cause']} {error['log']}"
    assert "\n" not in error["what"] + error["cause"]
    assert onhost.observed(2)["state"] == "failed"
    assert infer(port)[0] == first.digest
    assert onhost.refused("shift", release=2)["kind"] == "not-ready"
    assert onhost("observe")["live"] == 1


def test_a_release_that_is_never_ready_is_ended(onhost, make_bundle) -> None:
    onhost.stage(1, make_bundle(5.0, reduction=SLEEPS), workers=2)
    onhost("open", host="127.0.0.1", port=0)
    began = time.monotonic()
    error = onhost.refused("start", release=1, timeout=2)
    assert time.monotonic() - began < 8
    assert "was not ready after 2 s" in error["what"]
    seen = onhost.observed(1)
    assert seen["state"] == "failed"
    assert seen["workers"] == []
    time.sleep(0.3)
    assert len(remaining(onhost, 1)) == 1, "only the supervisor is left"


def test_a_port_that_is_taken_is_named(onhost) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        error = onhost.refused("open", host="127.0.0.1", port=port)
    assert error["kind"] == "site"
    assert error["what"] == f"port {port} on 127.0.0.1 cannot be opened"
    assert "another `port`" in error["fix"]
    assert onhost("open", host="127.0.0.1", port=port)["port"] == port


def test_a_running_service_keeps_its_port(onhost, make_bundle) -> None:
    port = onhost.deploy(1, make_bundle(2.0))["port"]
    assert "keeps its port" in onhost.refused("open", host="127.0.0.1", port=port - 1)["cause"]
    assert onhost("open", host="127.0.0.1", port=port)["port"] == port


@pytest.mark.parametrize("damage", ["flip", "add", "remove"])
def test_a_damaged_release_is_not_started(onhost, make_bundle, damage: str) -> None:
    bundle = make_bundle(100.0 + len(damage))  # a model layer that no other test uses
    onhost.stage(1, bundle)
    onhost("open", host="127.0.0.1", port=0)
    model = onhost.base / "layers" / bundle.layers[0].digest[7:] / "model" / "model.onnx"
    if damage == "flip":
        data = bytearray(model.read_bytes())
        data[len(data) // 2] ^= 4
        model.chmod(0o644)
        model.write_bytes(bytes(data))
    elif damage == "add":
        model.with_name("extra.py").write_text("print('loaded')")
    else:
        model.unlink()
    error = onhost.refused("start", release=1, timeout=30)
    assert error["kind"] == "bundle"
    assert ("extra.py" if damage == "add" else "model.onnx") in error["what"]
    assert onhost.observed(1)["errorKind"] == "bundle"


def test_nothing_of_a_damaged_runtime_is_executed(lonely: Onhost, make_bundle, tmp_path: Path) -> None:
    bundle = make_bundle(2.0)
    lonely.stage(1, bundle)
    lonely("open", host="127.0.0.1", port=0)
    (runtime,) = [layer for layer in bundle.layers if layer.platform == "any"]
    package = lonely.base / "layers" / runtime.digest[7:] / "runtime" / "any" / "mlship_runtime"
    for name in ("boot.py", "supervision/worker.py", "bundle/verify.py"):
        (package / name).chmod(0o644)
        (package / name).write_text(f"open({str(tmp_path / 'executed')!r}, 'w')\n")
    assert lonely.refused("start", release=1, timeout=30)["kind"] == "bundle"
    assert not (tmp_path / "executed").exists()


def test_a_release_sees_nothing_of_the_host_but_its_settings(onhost, make_bundle) -> None:
    onhost.stage(1, make_bundle(2.0, reduction=SPIES), environment={"UNIT": "cm"})
    onhost("open", host="127.0.0.1", port=0)
    onhost("start", release=1, timeout=30)
    log = onhost("logs", file=onhost.observed(1)["logs"], lines=50)["lines"]
    (seen,) = [line for line in log if line.startswith("seen:")]
    expected = ["LANG", "LISTEN_FDS", "LISTEN_PID", "ORT_DISABLE_TELEMETRY", "PATH", "TMPDIR", "UNIT"]
    assert seen == f"seen: {expected}"


def test_a_request_in_work_is_answered_before_its_worker_goes(onhost, make_bundle) -> None:
    first, second = make_bundle(2.0, reduction=SLOW), make_bundle(3.0)
    port = onhost.deploy(1, first)["port"]
    with Load(port, clients=4) as load:
        time.sleep(0.5)
        onhost.deploy(2, second)
        time.sleep(0.3)
    assert load.failures == []
    assert set(load.answers) == {first.digest, second.digest}


def test_a_worker_that_hangs_does_not_hold_up_a_switch(onhost, make_bundle) -> None:
    second = make_bundle(3.0)
    onhost.deploy(1, make_bundle(2.0))
    (worker,) = onhost.observed(1)["workers"]
    os.kill(worker["pid"], signal.SIGSTOP)
    assert onhost.observed(1)["workers"][0]["answers"] is False
    onhost.stage(2, second)
    onhost("start", release=2, timeout=30)
    onhost("shift", release=2, drain=1.0)
    assert onhost("settle", release=2, timeout=36)["digest"] == second.digest
    assert not alive(worker["pid"])


def test_a_lower_fence_number_moves_nothing(onhost, make_bundle) -> None:
    onhost.deploy(1, make_bundle(2.0))
    onhost.fence = 9
    onhost.stage(2, make_bundle(3.0))
    for verb, fields in (
        ("start", {"release": 2, "timeout": 5}),
        ("shift", {"release": 1}),
        ("remove", {"releases": [1]}),
        ("settle", {"release": 1}),
    ):
        assert onhost.refused(verb, **fields, fence=8)["kind"] == "fenced"
    assert onhost("observe")["live"] == 1
    layout = Site(onhost.base.resolve()).service(onhost.service)
    with pytest.raises(Exception, match="fence number 8 is refused"):
        request(layout.supervisor_socket, {"verb": "shift", "release": 2, "fence": 8})


def test_stopping_the_live_release_leaves_nothing_live(onhost, make_bundle) -> None:
    onhost.deploy(1, make_bundle(2.0))
    layout = Site(onhost.base.resolve()).service(onhost.service)
    request(layout.supervisor_socket, {"verb": "stop", "release": 1, "fence": onhost.fence, "drain": 1.0})
    seen = onhost("observe")
    assert (seen["live"], seen["releases"][0]["state"], seen["releases"][0]["served"]) == (
        None,
        "stopped",
        True,
    )
    assert len(remaining(onhost, 1)) == 1


def test_releases_end_without_a_supervisor_too(onhost, make_bundle) -> None:
    onhost.deploy(1, make_bundle(2.0), workers=2)
    os.kill(onhost("observe")["supervisor"]["pid"], signal.SIGKILL)
    assert "is live" in onhost.refused("remove", releases=[1])["what"]
    onhost("destroy")
    assert onhost("observe")["live"] is None
    assert remaining(onhost, 0) == []
    assert onhost("observe")["releases"] == []


def test_a_worker_that_is_told_to_end_drains_first(onhost, make_bundle) -> None:
    port = onhost.deploy(1, make_bundle(2.0))["port"]
    os.kill(onhost("observe")["supervisor"]["pid"], signal.SIGKILL)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    assert infer_on(connection)[1] is True
    (worker,) = onhost.pids(1)
    os.kill(worker, signal.SIGTERM)
    time.sleep(0.2)
    assert infer_on(connection)[1] is False, "the next answer is the last, and says so"
    connection.close()
    end = time.monotonic() + 10
    while alive(worker):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_what_a_supervisor_does_is_written_down(onhost, make_bundle) -> None:
    onhost.deploy(1, make_bundle(2.0))
    path = onhost.base / "services" / onhost.service / "logs" / "supervisor.log"
    events = [json.loads(line)["event"] for line in path.read_text().splitlines()]
    assert events[:2] == ["supervisor started", "worker started"]
    assert {"worker ready", "shifted"} <= set(events)
