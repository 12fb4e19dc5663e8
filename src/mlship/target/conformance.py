"""The conformance kit: what every adapter must do, as tests that its authors inherit.

class TestMine(AdapterConformance): @pytest.fixture def make_adapter(self, tmp_path): ... # () -> Adapter,
always bound to the same Place @pytest.fixture(scope="session") def bundles(self, ...): ... # Bundles: good
ones, and one of each bad kind

A bad bundle is one whose reduction reads its host, so that it builds well and fails on the target.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from mlship.bundle.open import OpenBundle
from mlship.errors import LockedError, PolicyError, TargetError, UnhealthyError
from mlship.target.again import wanted_again
from mlship.target.history import read_history
from mlship.target.journal import unfinished
from mlship.target.ledger import Entry, Kind, Ledger
from mlship.target.ledger_place import open_ledger
from mlship.target.lock import locked
from mlship.target.plan import Plan
from mlship.target.protocol import Adapter, at_host, hosts_of
from mlship.target.rollout import Rolled, Rollout, make_plan, observe
from mlship.trust.judge import signer
from mlship.trust.roots import Roots
from mlship_runtime.client import Request
from mlship_runtime.supervision.probe import DIGEST_HEADER
from mlship_runtime.trust.envelope import MEDIA_TYPE

MakeAdapter = Callable[[], Adapter]


@dataclass(frozen=True)
class Bundles:
    """Two good bundles that answer differently, and bad ones by the way in which they fail on a target."""

    first: OpenBundle
    second: OpenBundle
    crashes: OpenBundle
    never_ready: OpenBundle
    answers_wrongly: OpenBundle

    def bad(self, kind: str) -> OpenBundle:
        found: OpenBundle = getattr(self, kind)
        return found


_EVERY_STEP = range(1, 400)  # more than a deploy has
BAD = ("crashes", "never_ready", "answers_wrongly")


class AdapterConformance:
    """Inherit and give the two fixtures. Each test starts from a target on which nothing runs."""

    @pytest.fixture
    def ledger(self, make_adapter: MakeAdapter) -> Ledger:
        return open_ledger(make_adapter())

    @pytest.fixture
    def steps(self) -> Sequence[int]:
        """After how many entries of its ledger a deploy is killed: all, or some of them in their order."""
        return _EVERY_STEP

    @pytest.fixture(autouse=True)
    def _nothing_is_left(self, make_adapter: MakeAdapter, ledger: Ledger) -> Iterator[None]:
        yield
        Rollout(make_adapter(), ledger, None, why="destroy").run()
        assert not make_adapter().observe().exists

    def test_first_deploy(self, make_adapter: MakeAdapter, bundles: Bundles, ledger: Ledger) -> None:
        rolled = deploy(make_adapter(), ledger, bundles.first)
        assert rolled.changed
        assert rolled.proof is not None
        assert rolled.proof.rows > 0
        assert rolled.proof.digest == bundles.first.digest
        assert serves(make_adapter()) == bundles.first.digest
        assert [r.outcome for r in read_history(ledger)] == ["succeeded"]

    def test_deploying_the_same_again_does_nothing(
        self, make_adapter: MakeAdapter, bundles: Bundles, ledger: Ledger
    ) -> None:
        deploy(make_adapter(), ledger, bundles.first)
        before = len(ledger.entries())
        assert not deploy(make_adapter(), ledger, bundles.first).changed
        assert len(ledger.entries()) == before

    def test_upgrade_and_rollback(self, make_adapter: MakeAdapter, bundles: Bundles, ledger: Ledger) -> None:
        deploy(make_adapter(), ledger, bundles.first)
        upgraded = deploy(make_adapter(), ledger, bundles.second)
        assert serves(make_adapter()) == bundles.second.digest
        kept = [r for r in upgraded.observed.releases if r.served and r is not upgraded.release]
        assert [r.digest for r in kept] == [bundles.first.digest]
        again = wanted_again(upgraded.observed, kept[0], keep=2)
        back = Rollout(make_adapter(), ledger, again, why="rollback").run()
        assert back.changed
        assert not any(action.bytes for action in back.actions), "a rollback sends nothing"
        assert serves(make_adapter()) == bundles.first.digest
        numbers = [r.release or 0 for r in read_history(ledger)]
        assert numbers == sorted(set(numbers)), "each attempt has a number of its own"

    @pytest.mark.parametrize("kind", BAD)
    def test_bad_candidate_leaves_the_live_one_alone(
        self, make_adapter: MakeAdapter, bundles: Bundles, ledger: Ledger, kind: str
    ) -> None:
        live = deploy(make_adapter(), ledger, bundles.first).release
        with pytest.raises(UnhealthyError) as refused:
            deploy(make_adapter(), ledger, bundles.bad(kind), timeout=5.0)
        assert refused.value.exit_code == 8
        assert "\n" not in str(refused.value)
        after = observe(make_adapter(), ledger)
        assert after.live == live
        assert [r.number for r in after.releases] == [live.number] if live else False
        assert serves(make_adapter()) == bundles.first.digest
        assert read_history(ledger)[-1].outcome == "rolled-back"

    @pytest.mark.parametrize("kind", BAD)
    def test_bad_first_candidate_leaves_nothing(
        self, make_adapter: MakeAdapter, bundles: Bundles, ledger: Ledger, kind: str
    ) -> None:
        with pytest.raises(UnhealthyError):
            deploy(make_adapter(), ledger, bundles.bad(kind), timeout=5.0)
        assert not make_adapter().observe().exists

    def test_unsigned_candidate_is_refused_before_anything_is_changed(
        self, make_adapter: MakeAdapter, bundles: Bundles, ledger: Ledger
    ) -> None:
        live = deploy(make_adapter(), ledger, bundles.first).release
        entries, wanted = len(ledger.entries()), make_adapter().wanted(bundles.second)
        with pytest.raises(PolicyError, match="is not signed") as refused:
            Rollout(
                make_adapter(),
                ledger,
                wanted,
                why="deploy",
                bundle=bundles.second,
                gate=lambda: signed(bundles.second),
            ).run()
        assert refused.value.exit_code == 9
        after = observe(make_adapter(), ledger)
        assert after.live == live
        assert [r.number for r in after.releases] == [live.number] if live else False
        assert len(ledger.entries()) == entries
        assert serves(make_adapter()) == bundles.first.digest

    def test_two_deployers_at_once(self, make_adapter: MakeAdapter, bundles: Bundles, ledger: Ledger) -> None:
        with locked(ledger, "deploy"):
            with pytest.raises(LockedError, match=str(os.getpid())):
                deploy(make_adapter(), ledger, bundles.first)
            assert not make_adapter().observe().exists
        assert deploy(make_adapter(), ledger, bundles.first).changed

    def test_plan_that_no_longer_fits_is_refused(
        self, make_adapter: MakeAdapter, bundles: Bundles, ledger: Ledger
    ) -> None:
        saved = plan_of(make_adapter(), ledger, bundles.second)
        deploy(make_adapter(), ledger, bundles.first)
        with pytest.raises(TargetError, match="no longer fits"):
            deploy(make_adapter(), ledger, bundles.second, saved=saved)
        fresh = plan_of(make_adapter(), ledger, bundles.second)
        deploy(make_adapter(), ledger, bundles.second, saved=fresh)
        assert serves(make_adapter()) == bundles.second.digest

    def test_kill_at_every_journalled_step(
        self, make_adapter: MakeAdapter, bundles: Bundles, ledger: Ledger, steps: Sequence[int]
    ) -> None:
        """SIGKILL right after the n-th entry, for every n: something serves, and a repeat puts it right."""
        deploy(make_adapter(), ledger, bundles.first)
        ways = [(bundles.first, bundles.second), (bundles.second, bundles.first)]
        reached = set()
        for turn, step in enumerate(steps):
            before, wanted = ways[turn % 2]
            if not killed_after(step, make_adapter, wanted):
                break
            last = open_ledger(make_adapter()).entries()[-1]
            reached.add((last.kind, last.data.get("verb") or last.data.get("name", "")))
            assert serves(make_adapter()) in (before.digest, wanted.digest)
            assert bool(unfinished(ledger)) == (last.kind != "end")
            deploy(make_adapter(), open_ledger(make_adapter()), wanted)
            assert serves(make_adapter()) == wanted.digest
            assert not unfinished(ledger)
        assert reached
        if steps != _EVERY_STEP:
            return
        kinds = {kind for kind, _ in reached}
        assert kinds == {"begin", "action", "result", "end"}
        assert {verb for kind, verb in reached if kind == "action"} >= {"stage", "start", "shift", "settle"}

    def test_destroy_leaves_only_the_ledger(
        self, make_adapter: MakeAdapter, bundles: Bundles, ledger: Ledger
    ) -> None:
        deploy(make_adapter(), ledger, bundles.first)
        Rollout(make_adapter(), ledger, None, why="destroy").run()
        assert not make_adapter().observe().exists
        assert [r.why for r in read_history(ledger)] == ["deploy", "destroy"]
        with pytest.raises(TargetError):
            serves(make_adapter())
        second = deploy(make_adapter(), ledger, bundles.second).release
        assert second is not None
        assert second.number == 2, "numbers go on where the ledger stands"

    def test_purge_leaves_nothing_and_no_ledger(
        self, make_adapter: MakeAdapter, bundles: Bundles, ledger: Ledger
    ) -> None:
        deploy(make_adapter(), ledger, bundles.first)
        Rollout(make_adapter(), ledger, None, why="destroy", purge=True).run()
        after = make_adapter().observe()
        assert not after.exists
        assert not after.left
        assert not list(ledger.store.list(f"{ledger.prefix}/"))
        assert not Rollout(make_adapter(), ledger, None, why="destroy", purge=True).run().changed
        assert not list(ledger.store.list(f"{ledger.prefix}/"))


def deploy(
    adapter: Adapter,
    ledger: Ledger,
    bundle: OpenBundle,
    *,
    saved: Plan | None = None,
    timeout: float | None = None,
) -> Rolled:
    """A rollout of `bundle` without anything around it."""
    wanted = adapter.wanted(bundle)
    return Rollout(adapter, ledger, wanted, why="deploy", bundle=bundle, timeout=timeout).run(saved)


def signed(bundle: OpenBundle) -> None:
    """The gate of a target that requires a signature and trusts nobody."""
    signer(bundle.attached(MEDIA_TYPE), Roots(), bundle.manifest_bytes, bundle.spec)


def plan_of(adapter: Adapter, ledger: Ledger, bundle: OpenBundle) -> Plan:
    """What a deploy of `bundle` would do now."""
    return make_plan(adapter, adapter.wanted(bundle), observe(adapter, ledger))


def serves(adapter: Adapter) -> str:
    """The digest with which the real endpoint answers a prediction; TargetError if nothing answers. Each of
    several hosts must answer; the digest is that of the first."""
    first, *_ = [_serves(at_host(adapter, host)) for host in hosts_of(adapter) or ("",)]
    return first


def _serves(adapter: Adapter) -> str:
    observed = adapter.observe()
    if observed.live is None:
        raise TargetError("nothing is live")
    golden: dict[str, Any] = dict(adapter.golden(observed.live.number))
    body = json.dumps({"inputs": golden["inputs"]}).encode()
    answer = adapter.invoke(Request(f"/v2/models/{adapter.place.service}/infer", body))
    assert answer.status == 200, answer.body
    digest = answer.headers[DIGEST_HEADER]
    assert json.loads(answer.body)["model_version"] == digest
    return digest


def killed_after(step: int, make_adapter: MakeAdapter, bundle: OpenBundle) -> bool:
    """Deploy in a child process that kills itself after its `step`-th entry; False if it reached its end."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            adapter = make_adapter()
            deploy(adapter, EndingLedger(step, open_ledger(adapter), signal.SIGKILL), bundle)
            status = 0
        finally:
            os._exit(status)
    _, code = os.waitpid(child, 0)
    if os.WIFSIGNALED(code):
        assert os.WTERMSIG(code) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(code) == 0, "the child failed before it came to the step"
    return False


class EndingLedger(Ledger):
    """A ledger whose process gets a signal (SIGKILL, SIGSTOP) when the n-th entry has been written."""

    def __init__(self, step: int, ledger: Ledger, number: signal.Signals) -> None:
        super().__init__(ledger.store, ledger.prefix)
        self._left, self._number = step, number

    def append(self, kind: Kind, data: dict[str, Any], *, fence: int, rollout: int | None = None) -> Entry:
        entry = super().append(kind, data, fence=fence, rollout=rollout)
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), self._number)
        return entry


__all__ = [
    "AdapterConformance",
    "Bundles",
    "EndingLedger",
    "deploy",
    "killed_after",
    "open_ledger",
    "plan_of",
    "serves",
]
