"""What stands in systemd units, who is to keep a service, and what a unit does before it stops."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from mlship_runtime.errors import Fenced, SiteError
from mlship_runtime.onhost import choice
from mlship_runtime.onhost.opening import groups_for
from mlship_runtime.onhost.units import SYSTEM, USER, Units
from mlship_runtime.supervision import fence, listening
from mlship_runtime.supervision.halt import is_to_stop
from mlship_runtime.supervision.layout import Layout, Site

JOBS = "221 other.service stop running\n222 mine.service {} running\n223 mine.socket stop waiting\n"


def units(scope: str = SYSTEM, base: str = "/srv/mlship", name: str = "churn") -> Units:
    return Units(Site(Path(base)).service(name), scope)


def lines(text: str) -> list[str]:
    return text.splitlines()


class TestText:
    @pytest.fixture(autouse=True)
    def _python(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sys.executable", "/usr/bin/python3")

    def test_a_python_at_home_is_not_seen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sys.executable", "/home/me/python")
        with pytest.raises(SiteError, match="would not see /home/me/python"):
            units().texts("::1", 80)
        assert "/home/me/python" in units(USER).texts("::1", 80)[units(USER).service]

    def test_a_port_and_a_service(self) -> None:
        mine = units()
        texts = mine.texts("127.0.0.1", 8080)
        assert sorted(texts) == sorted([mine.socket, mine.service])
        assert "ListenStream=127.0.0.1:8080" in lines(texts[mine.socket])
        assert f"Service={mine.service}" in lines(texts[mine.socket])
        assert f"Sockets={mine.socket}" in lines(texts[mine.service])
        assert "DynamicUser=yes" in lines(texts[mine.service])
        assert "ProtectHome=yes" in lines(texts[mine.service])
        assert not [line for line in lines(texts[mine.service]) if line.startswith("MemoryMax")]

    def test_a_port_for_those_outside_is_a_unit_of_its_own(self) -> None:
        mine = units()
        texts = mine.texts("::1", 8080, ("0.0.0.0", 8443))
        assert "ListenStream=[::1]:8080" in lines(texts[mine.socket])
        assert "ListenStream=0.0.0.0:8443" in lines(texts[mine.external])
        assert "FileDescriptorName=external" in lines(texts[mine.external])
        assert f"Sockets={mine.socket} {mine.external}" in lines(texts[mine.service])

    def test_memory_has_room_for_the_supervisor(self) -> None:
        text = units().texts("::1", 80, memory=1_000_000_000)[units().service]
        assert f"MemoryMax={1_000_000_000 + (128 << 20)}" in lines(text)

    def test_groups(self) -> None:
        text = units().texts("::1", 80, groups=[7, 104])[units().service]
        assert "SupplementaryGroups=7 104" in lines(text)

    def test_only_this_service_is_seen(self) -> None:
        text = units(base="/root/there").texts("::1", 80)[units(base="/root/there").service]
        assert "TemporaryFileSystem=/root/there:ro" in lines(text)
        assert "ProtectHome=tmpfs" in lines(text)
        (seen,) = [line for line in lines(text) if line.startswith("BindReadOnlyPaths=")]
        assert "/root/there/services/churn" in seen
        assert "incoming" not in seen

    def test_of_a_user(self) -> None:
        text = units(USER).texts("::1", 80)[units(USER).service]
        assert "DynamicUser" not in text
        assert "WantedBy=default.target" in lines(text)
        assert "NoNewPrivileges=yes" in lines(text)
        assert "ExecStop=+" not in text

    @pytest.mark.parametrize(
        "base", ["/srv/a b", "/srv/100%", "/srv/$HOME", "/srv/a:b", "/srv/a\nb", '/srv/"']
    )
    def test_a_path_that_means_something_to_systemd_is_refused(self, base: str) -> None:
        with pytest.raises(SiteError, match="cannot stand in a systemd unit"):
            units(base=base).texts("::1", 80)

    def test_services_of_one_name_below_two_folders(self) -> None:
        assert units().service != units(base="/srv/other").service

    def test_a_socket_s_path_stays_short(self) -> None:
        long = units(name="a" * 63)
        assert len(str(long.run / "w.1000.63.4194304.handover")) < 104


class TestChoice:
    @pytest.fixture
    def layout(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
        self.missing = {SYSTEM: "no root", USER: "no linger"}
        monkeypatch.setattr(choice, "lack", lambda scope: self.missing[scope])
        found = Site(tmp_path).service("churn")
        found.folder.mkdir(parents=True)
        return found

    def keep(self, layout: Layout, units: str | None) -> None:
        kept = f', "units": "{units}"' if units else ""
        layout.settings.write_text(f'{{"schemaVersion": 1, "host": "h", "port": 1{kept}}}')

    @pytest.mark.parametrize(
        ("there", "chosen"), [((SYSTEM, USER), SYSTEM), ((USER,), USER), ((), "none"), ((SYSTEM,), SYSTEM)]
    )
    def test_auto(self, layout: Layout, there: tuple[str, ...], chosen: str) -> None:
        self.missing.update(dict.fromkeys(there, ""))
        found, why = choice.choose(layout, "auto")
        assert found == chosen
        assert bool(why) == (chosen == "none")

    @pytest.mark.parametrize("wanted", [SYSTEM, USER])
    def test_what_cannot_be_had(self, layout: Layout, wanted: str) -> None:
        with pytest.raises(SiteError, match=self.missing[wanted]):
            choice.choose(layout, wanted)

    @pytest.mark.parametrize("kept", [None, SYSTEM, USER])
    def test_a_service_stays_with_whom_it_has(self, layout: Layout, kept: str | None) -> None:
        self.missing.update({SYSTEM: "", USER: ""})
        self.keep(layout, kept)
        assert choice.choose(layout, "auto")[0] == (kept or "none")
        assert choice.choose(layout, kept or "none")[0] == (kept or "none")
        for other in {SYSTEM, USER, "none"} - {kept or "none"}:
            with pytest.raises(SiteError, match="requests lost"):
                choice.choose(layout, other)

    def test_what_observe_tells(self, layout: Layout) -> None:
        assert choice.about(layout, "auto")["chosen"] == "none"
        told = choice.about(layout, SYSTEM)
        assert told["chosen"] == ""
        assert "no root" in told["trouble"]["what"]


class TestStop:
    @pytest.mark.parametrize(("job", "stops"), [("stop", True), ("restart", False), ("start", False)])
    def test_only_a_stop_ends_the_workers(self, job: str, stops: bool) -> None:
        assert is_to_stop(JOBS.format(job), "mine.service") is stops

    def test_without_a_job_it_goes_by_itself(self) -> None:
        assert not is_to_stop("", "mine.service")


class TestPassed:
    def passed_by(self, monkeypatch: pytest.MonkeyPatch, names: str, owner: int) -> dict[str, socket.socket]:
        monkeypatch.setattr(listening, "INHERITED", self.first)
        for name, value in {"FDS": "2", "FDNAMES": names, "PID": str(owner)}.items():
            monkeypatch.setenv(f"LISTEN_{name}", value)
        return listening.passed()

    @pytest.fixture(autouse=True)
    def _sockets(self) -> None:
        """Two that follow one another, as systemd passes them."""
        self.given = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        self.ports = [given.getsockname()[1] for given in self.given]
        self.first = 900
        for number, given in enumerate(self.given, self.first):
            os.dup2(given.fileno(), number)
            given.close()

    def test_by_their_names(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found = self.passed_by(monkeypatch, "internal:external", os.getpid())
        assert [found[name].getsockname()[1] for name in ("internal", "external")] == self.ports
        assert not any(one.getblocking() or one.get_inheritable() for one in found.values())
        for one in found.values():
            one.close()

    def test_those_of_another_process_are_left_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.passed_by(monkeypatch, "internal:external", 1) == {}
        for number in (self.first, self.first + 1):
            os.close(number)


class TestFiles:
    def test_groups_that_may_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("mlship_runtime.onhost.opening.check_seen", lambda path: None)
        for_all, for_few = tmp_path / "all", tmp_path / "few"
        for_all.touch(0o644)
        for_few.touch(0o640)
        assert groups_for([str(for_all), str(tmp_path / "absent")]) == []
        if os.getuid() == 0:
            os.chown(for_few, 0, 104)
            assert groups_for([str(for_all), str(for_few)]) == [104]
        for_few.chmod(0o600)
        with pytest.raises(SiteError, match="only root may read"):
            groups_for([str(for_few)])

    def test_homes_are_not_seen(self) -> None:
        with pytest.raises(SiteError, match="see nothing below"):
            groups_for(["/home/me/tokens"])


def test_an_order_in_a_unit_is_compared_and_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Site(tmp_path).service("churn")
    fence.admit(layout, 5)
    monkeypatch.setattr(os, "access", lambda *_: False)
    fence.admit(layout, 7)
    assert fence.highest(layout) == 5
    with pytest.raises(Fenced):
        fence.admit(layout, 4)
