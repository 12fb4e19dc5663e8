"""Rollouts on several hosts that are objects in memory: what each was told to do, and what is left of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from scripted import GOLDEN, ScriptedAdapter, wanted

from mlship.errors import (
    LockedError,
    MlshipError,
    NotRestoredError,
    TargetError,
    UnhealthyError,
)
from mlship.target.again import wanted_again, wanted_as_is
from mlship.target.deployment import Deployment, Wanted
from mlship.target.following import Heard
from mlship.target.history import read_history
from mlship.target.ledger import Ledger
from mlship.target.rollout import Rolled, Rollout, observe
from mlship.target.several import SeveralHosts


class Host(ScriptedAdapter):
    """One that may be out of reach."""

    away = False

    def observe(self) -> Deployment:
        if self.away:
            raise TargetError("no route", fix="Switch it on")
        return super().observe()


@pytest.fixture
def hosts(tmp_path: Path) -> dict[str, Host]:
    return {name: Host(tmp_path) for name in "abc"}


@pytest.fixture
def several(hosts: dict[str, Host]) -> SeveralHosts:
    return SeveralHosts(hosts["a"].place, hosts)


@pytest.fixture
def roll(several: SeveralHosts, ledger: Ledger) -> Callable[[str | None], Rolled]:
    def to(letter: str | None) -> Rolled:
        want = letter and on_all(several, letter)
        return Rollout(several, ledger, want or None, why="deploy" if want else "destroy").run()

    return to


def on_all(several: SeveralHosts, letter: str) -> Wanted:
    return msgspec.structs.replace(wanted(letter), hosts=dict.fromkeys(several.hosts, wanted(letter)))


def test_every_host_proves_for_itself_before_any_has_traffic(
    hosts: dict[str, Host], roll: Callable[[str], Rolled], ledger: Ledger
) -> None:
    rolled = roll("a")
    assert set(rolled.proofs) == set(hosts)
    entries = [entry.data for entry in ledger.entries() if entry.kind == "action"]
    order = [(entry["verb"], entry["host"]) for entry in entries]
    assert max(order.index(("prove", host)) for host in hosts) < order.index(("shift", "a"))
    assert [step for step in order if step[0] in ("shift", "settle")] == [
        (verb, host) for host in "abc" for verb in ("shift", "settle")
    ]
    assert {host.live for host in hosts.values()} == {1}
    assert not roll("a").changed


@pytest.mark.parametrize("verb", ["take", "send", "stage", "start", "prove"])
def test_failure_on_one_host_before_the_shift_changes_none(
    hosts: dict[str, Host], roll: Callable[[str], Rolled], ledger: Ledger, verb: str
) -> None:
    roll("a")
    hosts["b"].fail = {verb: TargetError("no", fix="Do something")}
    for host in hosts.values():
        host.did.clear()
    with pytest.raises(UnhealthyError if verb in ("start", "prove") else TargetError, match=r"^b: no"):
        roll("b")
    for host in hosts.values():
        assert "shift" not in host.did
        assert (host.live, list(host.releases)) == (1, [1])
    assert read_history(ledger)[-1].outcome == "rolled-back"


@pytest.mark.parametrize("broken", ["a", "b", "c"])
@pytest.mark.parametrize("verb", ["shift", "settle"])
def test_failure_in_a_wave_brings_back_all_before_it_and_spares_those_after(
    hosts: dict[str, Host], roll: Callable[[str], Rolled], ledger: Ledger, broken: str, verb: str
) -> None:
    roll("a")
    hosts[broken].fail = {verb: TargetError("died")}
    with pytest.raises(UnhealthyError, match=f"^{broken}: died"):
        roll("b")
    assert {host.observe().live.digest for host in hosts.values() if host.observe().live} == {
        wanted("a").digest
    }  # type: ignore[union-attr]
    assert {host.live for host in hosts.values()} in ({1}, {3}), "one number everywhere"
    for name, host in hosts.items():
        assert (host.did.count("shift") == 1) == (name > broken or (name == broken and verb == "shift"))
    assert read_history(ledger)[-1].outcome == "rolled-back"
    assert roll("b").release == hosts["c"].observe().live


def test_a_host_that_dies_in_a_wave_does_not_keep_the_others_from_going_back(
    hosts: dict[str, Host], several: SeveralHosts, roll: Callable[[str], Rolled], ledger: Ledger
) -> None:
    roll("a")

    class Dies(Host):
        def run(self, action, given):  # type: ignore[no-untyped-def]
            if action.verb == "shift":
                self.away = True
                raise TargetError("connection lost")
            return super().run(action, given)

    hosts["b"].__class__ = Dies
    with pytest.raises(NotRestoredError, match=r"b: connection lost.*b cannot be reached"):
        roll("b")
    assert hosts["a"].releases[hosts["a"].live or 0].digest == wanted("a").digest
    assert hosts["c"].live == 1
    assert read_history(ledger)[-1].outcome == "not-restored"
    seen = several.observe()
    assert [at.host for at in seen.unreached] == ["b"]
    with pytest.raises(TargetError, match="nothing is changed on some of the hosts only"):
        roll("b")
    hosts["b"].__class__, hosts["b"].away = Host, False
    seen = observe(several, ledger)
    assert seen.live
    Rollout(several, ledger, wanted_as_is(seen, seen.live, 2), why="repair").run()
    assert {host.releases[host.live or 0].digest for host in hosts.values()} == {wanted("a").digest}
    assert len({host.live for host in hosts.values()}) == 1


def test_going_back_that_fails_on_one_host_is_done_on_the_others(
    hosts: dict[str, Host], roll: Callable[[str], Rolled]
) -> None:
    roll("a")
    hosts["c"].fail = {"settle": TargetError("died")}
    hosts["a"].fail = {}
    did = {"count": 0}
    plain = hosts["a"].run

    def failing(action, given):  # type: ignore[no-untyped-def]
        did["count"] += action.verb == "stage"
        if action.verb == "stage" and did["count"] == 2:
            raise TargetError("disk full")
        return plain(action, given)

    hosts["a"].run = failing  # type: ignore[method-assign]
    with pytest.raises(NotRestoredError, match="a: disk full"):
        roll("b")
    assert {hosts[name].releases[hosts[name].live or 0].digest for name in "bc"} == {wanted("a").digest}


def test_failed_first_deploy_leaves_nothing_anywhere(
    hosts: dict[str, Host], roll: Callable[[str], Rolled]
) -> None:
    hosts["c"].fail = {"settle": TargetError("died")}
    with pytest.raises(UnhealthyError):
        roll("a")
    assert not any(host.releases or host.held for host in hosts.values())


def test_a_host_that_was_replaced_is_brought_up_alone(
    hosts: dict[str, Host], roll: Callable[[str], Rolled], several: SeveralHosts
) -> None:
    roll("a")
    roll("b")
    fresh = hosts["b"]
    fresh.releases, fresh.live, fresh.held = {}, None, False
    for host in hosts.values():
        host.did.clear()
    assert "b runs nothing, not release 2" in several.observe().problems[0]
    roll("b")
    assert (hosts["a"].did, hosts["c"].did) == (["take"], ["take"])
    assert (fresh.live, list(fresh.releases)) == (2, [2])
    seen = several.observe()
    with pytest.raises(TargetError, match="release 1 is not on b"):
        wanted_again(seen, seen.releases[0], 2)
    fresh.fail = {"settle": TargetError("died")}
    with pytest.raises(UnhealthyError):
        roll("c")
    assert {host.releases[host.live or 0].digest for host in hosts.values()} == {wanted("b").digest}


def test_rollback_goes_to_the_same_release_on_all(
    hosts: dict[str, Host], roll: Callable[[str], Rolled], several: SeveralHosts, ledger: Ledger
) -> None:
    roll("a")
    roll("b")
    seen = observe(several, ledger)
    Rollout(several, ledger, wanted_again(seen, seen.releases[0], 2), why="rollback").run()
    assert {host.releases[host.live or 0].digest for host in hosts.values()} == {wanted("a").digest}
    assert {host.live for host in hosts.values()} == {3}


def test_a_new_ledger_goes_on_above_what_the_hosts_have_seen(
    hosts: dict[str, Host], roll: Callable[[str], Rolled], several: SeveralHosts, ledger: Ledger
) -> None:
    for letter in "aba":
        roll(letter)
    other = Ledger(ledger.store, "another/churn")
    Rollout(several, other, on_all(several, "b"), why="deploy").run()
    assert {host.fences[-1] for host in hosts.values()} == {4}
    assert {host.live for host in hosts.values()} == {4}


def test_overtaken_on_one_host_stops_all_and_undoes_nothing(
    hosts: dict[str, Host], roll: Callable[[str], Rolled]
) -> None:
    roll("a")
    hosts["b"].fail = {"take": LockedError("fenced")}
    for host in hosts.values():
        host.did.clear()
    with pytest.raises(LockedError, match=r"^b: fenced"):
        roll("b")
    assert all(set(host.did) <= {"take"} for host in hosts.values())


def test_removed_everywhere(hosts: dict[str, Host], roll: Callable[[str | None], Rolled]) -> None:
    roll("a")
    roll(None)
    assert not any(host.releases or host.held for host in hosts.values())


def test_asked_without_saying_which(
    hosts: dict[str, Host], several: SeveralHosts, roll: Callable[[str], Rolled]
) -> None:
    roll("a")
    assert list(several.logs(1, 5)) == [f"{name} | release 1 wrote this" for name in "abc"]
    hosts["b"].releases.clear()
    assert list(several.logs(1, 5))[1] == "b | ! no logs"
    hosts["b"].live = None
    assert several.golden(1) == GOLDEN
    for host in hosts.values():
        host.away = True
    with pytest.raises(TargetError, match="none of the 3 hosts of here can be reached: no route"):
        several.observe()


def test_logs_are_followed_under_the_names_of_the_target(
    hosts: dict[str, Host], several: SeveralHosts
) -> None:
    class Source:
        host, closed = "as the machine calls itself", False

        def listen(self) -> Iterator[Heard]:
            yield Heard(1, ("a line",))

        def close(self) -> None:
            self.closed = True

    sources = {name: Source() for name in hosts}
    for name, host in hosts.items():
        host.follow = lambda *_, name=name: (sources[name],)  # type: ignore[attr-defined]
    followed = several.follow(None, 5)
    assert [(source.host, next(source.listen()).lines) for source in followed] == [
        (name, ("a line",)) for name in hosts
    ]
    followed[1].close()
    assert [name for name, source in sources.items() if source.closed] == ["b"]


def test_a_name_is_that_on_all_hosts(several: SeveralHosts) -> None:
    called = on_all(several, "a").called("churn:best")
    assert {called.reference, *(want.reference for want in called.hosts.values() if want)} == {"churn:best"}


def test_staging_is_side_by_side(hosts: dict[str, Host], roll: Callable[[str], Rolled]) -> None:
    """All three are at it at once, or the barrier breaks."""
    meet = threading.Barrier(3, timeout=30)

    class Meets(Host):
        def run(self, action, given):  # type: ignore[no-untyped-def]
            if action.verb == "send":
                meet.wait()
            return super().run(action, given)

    for host in hosts.values():
        host.__class__ = Meets
    roll("a")


def test_ctrl_c_while_hosts_are_at_work(hosts: dict[str, Host], roll: Callable[[str], Rolled]) -> None:
    """What has begun ends, nothing else begins, and all go back."""
    import _thread

    roll("a")

    class Pressed(Host):
        def run(self, action, given):  # type: ignore[no-untyped-def]
            done = super().run(action, given)
            if action.verb == "send":
                _thread.interrupt_main()
                self.waited.wait(1)
            return done

        waited = threading.Event()

    hosts["b"].__class__ = Pressed
    with pytest.raises(KeyboardInterrupt):
        roll("b")
    assert {(host.live, tuple(host.releases)) for host in hosts.values()} == {(1, (1,))}
    assert "stage" not in hosts["b"].did[-3:]


def test_errors_of_the_far_side_are_named_once() -> None:
    from mlship.target.rollout import _naming

    for what, told in (("no room", "b: no room"), ("cannot write x on b", "cannot write x on b")):
        with pytest.raises(MlshipError) as named, _naming("b"):
            raise TargetError(what)
        assert named.value.what == told
