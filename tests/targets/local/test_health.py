"""A worker that hangs, takes too much memory or dies again and again, on real processes."""

from __future__ import annotations

import http.client
import os
import signal
import threading
import time

import pytest
from tests.targets.local.conftest import Load, Onhost, infer, infer_on

# The row (13, n) hangs for n seconds, (14, n) keeps n MiB, (15, 0) dies.
MOODY = """
import os, time
import numpy as np
kept = []
def reduce(columns):
    what, much = columns["X"][0].tolist()
    if what == 13:
        time.sleep(much)
    elif what == 14:
        kept.append(np.ones((int(much) << 20) // 8))
    elif what == 15:
        os.kill(os.getpid(), 9)
    return columns
"""


def asked(port: int, what: float, much: float) -> None:
    """One request whose answer may never come."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        infer_on(connection, (what, much))
    except (OSError, http.client.HTTPException):
        pass
    finally:
        connection.close()


def restarts(port: int) -> dict[str, int]:
    """What /metrics says of the release's workers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    found = [line for line in lines if line.startswith("mlship_worker_restarts_total{")]
    return {line.split('reason="')[1].split('"')[0]: int(line.rsplit(" ", 1)[1]) for line in found}


def until_replaced(onhost: Onhost, pids: list[int], number: int = 1) -> dict:
    """The release, once none of `pids` is among its workers and all serve."""
    end = time.monotonic() + 60
    while True:
        seen = onhost.observed(number)
        workers = seen["workers"]
        if workers and not {w["pid"] for w in workers} & set(pids) and seen["state"] == "serving":
            return seen
        assert time.monotonic() < end, seen
        time.sleep(0.1)


@pytest.mark.parametrize("how", ["computes", "stopped"])
def test_a_worker_that_hangs_is_replaced_and_says_where_it_hung(onhost, make_bundle, how: str) -> None:
    bundle = make_bundle(2.0, reduction=MOODY)
    port = onhost.deploy(1, bundle, hangTimeout=2)["port"]
    before = onhost.pids(1)
    if how == "computes":
        hung = threading.Thread(target=asked, args=(port, 13, 3600))
        hung.start()
    else:
        os.kill(before[0], signal.SIGSTOP)
    seen = until_replaced(onhost, before)
    if how == "computes":
        hung.join(timeout=30)
        log = onhost("logs", file=seen["logs"], lines=60)["lines"]
        assert any("in reduce" in line for line in log), "its log tells what it was at"
    assert infer(port)[0] == bundle.digest
    assert seen["health"]["restarts"] == {"hung": 1}
    assert [(end["reason"], end["pid"]) for end in seen["health"]["ends"]] == [("hung", before[0])]
    assert restarts(port) == {"died": 0, "hung": 1, "memory": 0, "late": 0}


@pytest.mark.faults
def test_a_worker_that_works_for_long_is_left_alone(onhost, make_bundle) -> None:
    port = onhost.deploy(1, make_bundle(2.0, reduction=MOODY), hangTimeout=5)["port"]
    before = onhost.pids(1)
    for _ in range(4):  # together longer than what counts as hanging
        asked(port, 13, 1.5)
    assert onhost.pids(1) == before
    assert restarts(port)["hung"] == 0


def test_a_worker_over_its_ceiling_hands_over_and_goes(onhost, make_bundle) -> None:
    bundle = make_bundle(2.0, reduction=MOODY)
    port = onhost.deploy(1, bundle, memory=400 << 20, workers=2)["port"]
    before = onhost.pids(1)
    assert onhost.observed(1)["ceiling"] == 200 << 20
    with Load(port, clients=4) as load:
        time.sleep(0.3)
        asked(port, 14, 190)
        end = time.monotonic() + 60
        while len(set(onhost.pids(1)) & set(before)) == 2 or len(onhost.pids(1)) != 2:
            assert time.monotonic() < end, onhost.observed(1)
            time.sleep(0.1)
    assert load.failures == [], "its clients went to the next one"
    assert load.connections == load.clients
    seen = onhost.wait(1, "serving")
    assert seen["health"]["restarts"] == {"memory": 1}
    assert len(set(onhost.pids(1)) & set(before)) == 1, "the other one was left alone"
    assert all(worker["memory"] < 200 << 20 and worker["descriptors"] for worker in seen["workers"])
    assert restarts(port)["memory"] == 1


def test_a_release_that_does_not_fit_into_its_ceiling_fails(onhost, make_bundle) -> None:
    first = make_bundle(2.0)
    port = onhost.deploy(1, first)["port"]
    onhost.stage(2, make_bundle(3.0), memory=2 << 20)
    error = onhost.refused("start", release=2, timeout=30)
    assert (error["kind"], error["cause"]) == ("not-ready", "its ceiling is 2 MiB")
    assert onhost.observed(2)["state"] == "failed"
    assert infer(port)[0] == first.digest


@pytest.mark.faults
def test_a_crash_loop_does_not_spin_and_is_seen(onhost, make_bundle) -> None:
    port = onhost.deploy(1, make_bundle(2.0, reduction=MOODY))["port"]
    began = time.monotonic()
    for _ in range(5):
        asked(port, 15, 0)
    took = time.monotonic() - began
    assert took > 0.1 + 0.2 + 0.4, "each restart waits longer than the one before"
    seen = onhost.wait(1, "serving", timeout=60)
    assert seen["health"]["restarts"] == {"died": 5}
    assert seen["health"]["ends"][-1]["detail"] == "was killed by signal 9"
    assert restarts(port)["died"] == 5


def test_counts_outlive_the_supervisor(onhost, make_bundle) -> None:
    port = onhost.deploy(1, make_bundle(2.0))["port"]
    (worker,) = onhost.pids(1)
    os.kill(worker, signal.SIGKILL)
    until_replaced(onhost, [worker])
    assert restarts(port)["died"] == 1
    os.kill(onhost("observe")["supervisor"]["pid"], signal.SIGKILL)
    onhost("open", host="127.0.0.1", port=0)
    (worker,) = onhost.pids(1)
    os.kill(worker, signal.SIGKILL)
    until_replaced(onhost, [worker])
    assert restarts(port)["died"] == 2


@pytest.mark.faults
def test_sigkill_under_load_costs_what_was_in_flight(onhost, make_bundle) -> None:
    """Two workers, one killed five times: a client loses at most the request that was in flight on its own
    connection, and nobody is refused."""
    port = onhost.deploy(1, make_bundle(2.0), workers=2)["port"]
    clients, kills = 8, 5
    with Load(port, clients=clients) as load:
        for _ in range(kills):
            time.sleep(0.3)
            before = onhost.pids(1)
            os.kill(before[0], signal.SIGKILL)
            end = time.monotonic() + 60
            while len(pids := onhost.pids(1)) != 2 or before[0] in pids:
                assert time.monotonic() < end
                time.sleep(0.05)
            onhost.wait(1, "serving")
        time.sleep(0.3)
    lost = [failure for failure in load.failures if "refused" in failure]
    assert not lost
    assert len(load.failures) <= kills * clients
    assert load.connections == clients + len(load.failures)
    assert onhost.observed(1)["health"]["restarts"] == {"died": kills}


def test_requests_share_a_run_where_that_is_wanted_and_rows_allow_it(onhost, make_bundle) -> None:
    """A release that answers a row by what stands beside it never gets ready with `batch`."""
    mean = "def reduce(columns):\n    return {'X': columns['X'] - columns['X'].mean(axis=0) * 0.001}\n"
    batch = {"wait": 0.02, "rows": 8}
    first = make_bundle(2.0)
    port = onhost.deploy(1, first, batch=batch)["port"]
    with Load(port, clients=6) as load:
        time.sleep(1.0)
    assert load.failures == []
    assert set(load.answers) == {first.digest}
    onhost.stage(2, make_bundle(2.0, reduction=mean), batch=batch)
    assert onhost.refused("start", release=2, timeout=30)["kind"] == "not-ready"
