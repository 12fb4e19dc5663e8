"""SIGKILL at many moments: of a supervisor while it switches, of a stage while it unpacks."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time

import pytest
from tests.targets.local.conftest import Load, Onhost, alive, infer, remaining

from mlship_runtime.errors import RuntimeFault
from mlship_runtime.supervision.control import Unreachable, request
from mlship_runtime.supervision.layout import Site


@pytest.mark.faults
def test_a_supervisor_killed_at_any_moment_of_a_switch(onhost: Onhost, make_bundle, some) -> None:
    """Whatever moment it is: nobody is refused, one release is live, and a repeat ends the switch."""
    digests = {}
    for number, weight in ((1, 2.0), (2, 3.0)):
        bundle = make_bundle(weight)
        digests[number] = bundle.digest
        onhost.stage(number, bundle)
    onhost("open", host="127.0.0.1", port=0)
    onhost("start", release=1, timeout=30)
    onhost("shift", release=1)
    port = onhost("settle", release=1, timeout=30)["port"]
    layout = Site(onhost.base.resolve()).service(onhost.service)
    cut_short, moments = 0, some.of(12, cost=6)
    with Load(port) as load:
        for moment in range(moments):
            old, new = (1, 2) if moment % 2 == 0 else (2, 1)
            onhost("start", release=new, timeout=30)
            supervisor = onhost("observe")["supervisor"]["pid"]
            killer = threading.Timer(0.002 * moment, os.kill, (supervisor, signal.SIGKILL))
            killer.start()
            try:
                request(layout.supervisor_socket, {"verb": "shift", "release": new, "drain": 10})
            except Unreachable:
                cut_short += 1
            killer.join()
            assert infer(port)[0] in digests.values()
            onhost("open", host="127.0.0.1", port=0)
            onhost.wait(onhost("observe")["live"], "serving")
            onhost("start", release=new, timeout=30)
            onhost("shift", release=new, drain=10)
            assert onhost("settle", release=new, timeout=30)["digest"] == digests[new]
            assert onhost.observed(old)["workers"] == []
    assert load.failures == []
    assert load.connections == load.clients
    assert cut_short >= moments // 4, "the switches were over before they were hit"
    assert len(remaining(onhost, 2)) == 2


@pytest.mark.faults
def test_a_worker_killed_at_any_moment_of_a_switch(onhost: Onhost, make_bundle, some) -> None:
    """The candidate dies while traffic moves to it: either release serves then, and new clients wait."""
    digests = {}
    for number, weight in ((1, 2.0), (2, 3.0)):
        bundle = make_bundle(weight)
        digests[number] = bundle.digest
        onhost.stage(number, bundle)
    onhost("open", host="127.0.0.1", port=0)
    onhost("start", release=1, timeout=30)
    onhost("shift", release=1)
    port = onhost("settle", release=1, timeout=30)["port"]
    layout = Site(onhost.base.resolve()).service(onhost.service)
    for moment in some.among(range(6), cost=6):
        onhost("start", release=2, timeout=30)
        (candidate,) = onhost.pids(2)
        killer = threading.Timer(0.002 * moment, os.kill, (candidate, signal.SIGKILL))
        killer.start()
        with contextlib.suppress(RuntimeFault):
            request(layout.supervisor_socket, {"verb": "shift", "release": 2, "drain": 10})
        killer.join()
        live = onhost("observe")["live"]
        assert infer(port)[0] == digests[live]
        onhost.wait(live, "serving")
        onhost("start", release=1, timeout=30)
        onhost("shift", release=1, drain=10)
        onhost("settle", release=1, timeout=30)


@pytest.mark.faults
def test_a_stage_killed_at_any_moment_is_repeated(lonely: Onhost, make_bundle, some) -> None:
    bundle = make_bundle(2.0)
    lonely.base.mkdir()
    ask = json.dumps({"base": str(lonely.base), "service": lonely.service, **lonely.release(1, bundle)})
    for moment in some.among(range(12), cost=6):
        lonely.send(bundle)
        with subprocess.Popen(
            [lonely.python, "-I", "-S", "-B", str(lonely.boot), "host", "stage"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as stage:
            assert stage.stdin is not None
            stage.stdin.write(ask.encode())
            stage.stdin.close()
            time.sleep(0.15 * moment)
            stage.kill()
        seen = lonely("observe")
        assert len(seen["releases"]) <= 1
        for digest in seen["layers"]:
            (layer,) = [layer for layer in bundle.layers if layer.digest == digest]
            root = lonely.base / "layers" / digest[7:]
            assert sum(path.is_file() for path in root.rglob("*")) == len(layer.index)
    lonely.stage(1, bundle)
    assert not [path for path in (lonely.base / "layers").iterdir() if len(path.name) != 64]
    lonely("open", host="127.0.0.1", port=0)
    assert lonely("start", release=1, timeout=30)["state"] == "ready"
    (worker,) = lonely.pids(1)
    assert alive(worker)


def test_a_disk_that_cannot_be_written_is_seen(tmp_path, require) -> None:
    require("tmpfs")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", str(disk)], check=True)
    try:
        assert Onhost(disk / "base", "tiny")("facts")["readOnly"] is True
        assert Onhost(tmp_path / "base", "tiny")("facts")["readOnly"] is False
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_is_said_and_a_repeat_works_once_there_is_room(tmp_path, make_bundle, require) -> None:
    require("tmpfs")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=170M", "none", str(disk)], check=True)
    place = Onhost(disk / "base", "tiny")
    try:
        bundle = make_bundle(2.0)
        place.send(bundle)
        error = place.refused("stage", **place.release(1, bundle))
        assert error["kind"] == "site"
        assert "Free space" in error["fix"]
        assert place("observe")["releases"] == []
        subprocess.run(["mount", "-o", "remount,size=500M", str(disk)], check=True)
        place.stage(1, bundle)
        assert [entry["state"] for entry in place("observe")["releases"]] == ["staged"]
    finally:
        subprocess.run(["umount", str(disk)], check=True)
