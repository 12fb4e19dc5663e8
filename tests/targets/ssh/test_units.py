"""Services on whole Debian hosts: kept by systemd as root and as a user, and by nobody where it is not."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from debian_service import PATIENCE, Service, traces

from mlship.errors import UnhealthyError
from mlship.target.conformance import Bundles, open_ledger, plan_of
from mlship_runtime.trust.tokens import Token, digest_of, new_token, write_tokens

pytestmark = [pytest.mark.hosts, pytest.mark.server]

_ASK_OUTSIDE = """
import sys, urllib.request
asked = urllib.request.Request("http://127.0.0.1:8444/v2/models/conform")
asked.add_header("Authorization", "Bearer " + sys.argv[1])
print(urllib.request.urlopen(asked).headers["Mlship-Bundle"])
"""


@pytest.fixture(scope="module")
def bundles(kit: tuple[str, Bundles]) -> Bundles:
    return kit[1]


@pytest.fixture(scope="module")
def of_root(debian: Any, tmp_path_factory: pytest.TempPathFactory) -> Service:
    return Service(debian.host("systemd"), "root", tmp_path_factory.mktemp("root"))


@pytest.fixture
def kept(of_root: Service, bundles: Bundles) -> Service:
    """`first` is served, kept by the host's systemd, with one supervisor that is well."""
    of_root.deploy(bundles.first)
    of_root.settled()
    return of_root


class TestSystem:
    def test_a_plan_names_the_units_and_a_deploy_is_done_once(
        self, kept: Service, bundles: Bundles, tmp_path: Path
    ) -> None:
        kept.purge()
        adapter = kept.adapter()
        plan = plan_of(adapter, open_ledger(adapter), bundles.first)
        (opened,) = [action for action in plan.actions if action.verb == "open"]
        assert kept.units.service in opened.subject
        assert kept.units.socket in opened.subject
        assert kept.deploy(bundles.first).changed
        assert not kept.deploy(bundles.first).changed
        assert kept.units.service in kept.adapter().observe().keeper
        assert kept.systemctl("is-enabled", kept.units.service, kept.units.socket).split() == ["enabled"] * 2

    def test_what_the_service_may_do(self, kept: Service) -> None:
        said = kept.host.run("systemd-analyze", "security", "--no-pager", kept.units.service)
        assert float(said.splitlines()[-1].split(":")[1].split()[0]) <= 1.5
        pid = kept.supervisor()
        uid = kept.host.run("stat", "--format=%u", f"/proc/{pid}").strip()
        assert 61184 <= int(uid) <= 65519, "of DynamicUser"
        inside = ["nsenter", f"--target={pid}", "--mount", "setpriv", f"--reuid={uid}", "--clear-groups"]
        for path in ("/root", "/home/app", "/var/lib/mlship/incoming"):
            assert not kept.host.run(*inside, "ls", path, check=False), path
        assert "conform" in kept.host.run(*inside, "ls", "/var/lib/mlship/services")
        assert kept.host.run(*inside, "touch", "/var/lib/mlship/layers/x", "&&", "echo", check=False) == ""
        modes = kept.host.run("stat", "--format=%a %U", "/var/lib/mlship", "/var/lib/mlship/services")
        assert modes.split() == ["700", "root", "700", "root"]
        others = ["setpriv", "--reuid=1002", "--clear-groups"]
        assert kept.host.run(*others, "ls", "/var/lib/mlship", check=False) == ""

    def test_restarts_deaths_and_upgrades_cost_no_request(self, kept: Service, bundles: Bundles) -> None:
        with kept.clients(bundles.first) as seen:
            workers = kept.workers()
            kept.systemctl("restart", kept.units.service)
            seen.more()
            before = kept.supervisor()
            kept.host.run("kill", "-9", before)
            kept.settled()
            seen.more()
            assert kept.supervisor() not in (before, "0")
            assert kept.workers() == workers, "they are not of the supervisor's lot"
            kept.deploy(bundles.second)
            seen.more()
            kept.deploy(bundles.first)
        assert not seen.failures
        assert seen.connections == 6, "not one was closed"
        assert seen.digests == {bundles.first.digest, bundles.second.digest}

    def test_all_processes_killed_at_once(self, kept: Service, bundles: Bundles) -> None:
        """What was being answered is lost; who connects meanwhile waits in the socket's queue."""
        clients = kept.clients(bundles.first)
        kept.systemctl("kill", "--signal=KILL", "--kill-whom=all", kept.units.service)
        with clients as seen:
            kept.settled()
        assert [why for why in seen.failures if "Refused" in why] == []
        assert kept.serves() == bundles.first.digest

    def test_a_supervisor_that_hangs_is_replaced(self, kept: Service, bundles: Bundles) -> None:
        drop = f"{kept.units.folder}/{kept.units.service}.d"
        kept.host.run("mkdir", drop)
        kept.host.run("tee", f"{drop}/soon.conf", given=b"[Service]\nWatchdogSec=3s\n")
        try:
            kept.systemctl("daemon-reload")
            kept.systemctl("restart", kept.units.service)
            before = kept.supervisor()
            with kept.clients(bundles.first) as seen:
                kept.host.run("kill", "-STOP", before)
                end = time.monotonic() + PATIENCE
                while kept.supervisor() in (before, "0"):
                    assert time.monotonic() < end, "the watchdog does nothing"
                    time.sleep(0.2)
                kept.settled()
            assert not seen.failures
        finally:
            kept.host.run("rm", "-r", drop)
            kept.systemctl("daemon-reload")
            kept.systemctl("restart", kept.units.service)

    def test_stopped_by_hand_it_stays_so_and_started_it_serves(self, kept: Service, bundles: Bundles) -> None:
        names = [kept.units.socket, kept.units.service]
        kept.systemctl("stop", *names)
        assert not kept.host.run("pgrep", "-f", "mlship_runtime/boot", check=False)
        assert not kept.adapter().observe().healthy
        kept.systemctl("start", *names)
        assert kept.serves() == bundles.first.digest

    def test_plug_pulled(self, kept: Service, bundles: Bundles) -> None:
        kept.host.fall()
        kept.host.start()
        assert kept.serves() == bundles.first.digest
        kept.settled()
        assert not kept.deploy(bundles.first).changed

    def test_limits_and_the_outer_port_change_under_load(
        self, kept: Service, bundles: Bundles, tmp_path: Path
    ) -> None:
        token, tokens = new_token(), tmp_path / "tokens"
        write_tokens(tokens, [Token("ci", digest_of(token.encode()), "2026-01-01")])

        def limit() -> str:
            return kept.systemctl("show", "--property=MemoryMax", "--value", kept.units.service).strip()

        kept.host.run("tee", "/etc/conform.tokens", given=tokens.read_bytes())
        kept.host.run("chmod", "600", "/etc/conform.tokens")
        outer = {"tokens": "/etc/conform.tokens", "port": 8443}
        assert limit() == "infinity"
        with kept.clients(bundles.first) as seen:
            with pytest.raises(UnhealthyError, match="cannot read"):
                kept.deploy(bundles.first, external=outer)
            kept.host.run("chgrp", "games", "/etc/conform.tokens")
            kept.host.run("chmod", "640", "/etc/conform.tokens")
            kept.deploy(bundles.first, external=outer, memory="2 GB")
            kept.deploy(bundles.second, external={**outer, "port": 8444}, memory="1 GB")
            assert limit() == str(3_000_000_000 + (128 << 20)), "both releases ran side by side"
            listening = kept.host.run("ss", "-ltnH")
            assert ":8444" in listening
            assert ":8443" not in listening
            asked = kept.host.run("python3", "-c", _ASK_OUTSIDE, token)
            assert asked.strip() == bundles.second.digest
            kept.deploy(bundles.first)
        assert not seen.failures
        assert ":8444" not in kept.host.run("ss", "-ltnH")
        assert limit() == "infinity"

    def test_another_keeper_is_refused_beforehand(self, kept: Service, bundles: Bundles) -> None:
        for units, why in (("none", "kept by systemd"), ("user", "kept by systemd")):
            (problem,) = kept.adapter(units=units).check(bundles.first)
            assert why in problem.what
            assert 'units = "system"' in problem.fix
        assert kept.adapter(units="system").check(bundles.first) == []
        assert kept.adapter(units="auto").check(bundles.first) == []

    def test_purged_without_a_trace(self, kept: Service) -> None:
        assert traces(kept.host)
        kept.purge()
        assert traces(kept.host) == []

    def test_a_service_that_cannot_start_leaves_no_unit(self, of_root: Service, bundles: Bundles) -> None:
        of_root.purge()
        drop = f"{of_root.units.folder}/{of_root.units.service}.d"
        of_root.host.run("mkdir", drop)
        of_root.host.run("tee", f"{drop}/never.conf", given=b"[Service]\nExecStartPre=/bin/false\n")
        try:
            with pytest.raises(UnhealthyError, match="does not start") as refused:
                of_root.deploy(bundles.first)
            assert "exit-code" in str(refused.value)
            assert not of_root.host.run("find", str(of_root.units.folder), "-name", "mlship*", "-type", "f")
        finally:
            of_root.host.run("rm", "-r", drop)
            of_root.systemctl("daemon-reload")

    def test_a_port_that_is_taken(self, of_root: Service, bundles: Bundles) -> None:
        of_root.purge()
        with pytest.raises(UnhealthyError, match=r"port 22 on .* cannot be opened"):
            of_root.deploy(bundles.first, port=22)
        assert not of_root.host.run("find", str(of_root.units.folder), "-name", "mlship*")
        of_root.purge()


@pytest.fixture
def nothing_else(of_root: Service) -> None:
    of_root.purge()


@pytest.mark.usefixtures("nothing_else")
class TestUser:
    def test_life_and_a_plug_pulled(self, debian: Any, bundles: Bundles, tmp_path: Path) -> None:
        own = Service(debian.host("systemd"), "app", tmp_path)
        own.deploy(bundles.first)
        assert own.units.service in own.adapter().observe().keeper
        with own.clients(bundles.first) as seen:
            workers = own.workers()
            own.systemctl("restart", own.units.service)
            own.settled()
            assert own.workers() == workers
            own.deploy(bundles.second)
        assert not seen.failures
        own.host.fall()
        own.host.start()
        assert own.serves() == bundles.second.digest
        own.purge()
        assert traces(own.host) == []
        assert not own.host.run("find", "/home/app/.config", "-type", "f", check=False)

    def test_without_linger_it_keeps_itself(self, debian: Any, bundles: Bundles, tmp_path: Path) -> None:
        own = Service(debian.host("systemd"), "guest", tmp_path)
        own.deploy(bundles.first)
        keeper = own.adapter().observe().keeper
        assert "a process of its own" in keeper
        assert "loginctl enable-linger guest" in keeper
        (problem,) = own.adapter(units="user").check(bundles.first)
        assert "kept by a process of its own" in problem.what
        own.purge()
        assert traces(own.host) == []
        (problem,) = own.adapter(units="user").check(bundles.first)
        assert "loginctl enable-linger guest" in problem.what


def test_without_systemd(debian: Any, bundles: Bundles, tmp_path: Path) -> None:
    own = Service(debian.host("bare"), "root", tmp_path)
    (problem,) = own.adapter(units="system").check(bundles.first)
    assert "not started by systemd" in problem.what
    own.deploy(bundles.first)
    assert "a process of its own" in own.adapter().observe().keeper
    with own.clients(bundles.first) as seen:
        own.deploy(bundles.second)
    assert not seen.failures
    own.host.fall()
    own.host.start()
    assert not own.adapter().observe().healthy, "nobody starts it there"
    assert own.deploy(bundles.second).changed
    assert own.serves() == bundles.second.digest
    own.purge()
    assert traces(own.host) == []
