"""The rollout on a scripted target: order, journal, undo, exit codes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from scripted import ScriptedAdapter, wanted

from mlship.errors import (
    BundleError,
    LockedError,
    MlshipError,
    NotRestoredError,
    PolicyError,
    RegistryError,
    TargetError,
    UnhealthyError,
)
from mlship.store.folder import FolderStore
from mlship.target.history import read_history
from mlship.target.journal import close_unfinished, unfinished
from mlship.target.ledger import Ledger
from mlship.target.lock import break_lock, locked
from mlship.target.plan import Action, Plan
from mlship.target.protocol import Given
from mlship.target.rollout import Rolled, Rollout, make_plan, observe
from mlship.trust.demand import Demand

FULL = ["send", "stage", "open", "start", "prove", "shift", "settle"]


def roll(adapter: ScriptedAdapter, ledger: Ledger, letter: str | None, saved: Plan | None = None) -> Rolled:
    want = wanted(letter) if letter else None
    return Rollout(adapter, ledger, want, why="deploy" if want else "destroy").run(saved)


def test_first_deploy_does_all_in_order_and_tells_the_ledger(tmp_path: Path, ledger: Ledger) -> None:
    adapter = ScriptedAdapter(tmp_path)
    rolled = roll(adapter, ledger, "a")
    assert adapter.did == FULL
    assert rolled.release is not None
    assert (rolled.release.number, rolled.release.state) == (1, "serving")
    kinds = [entry.kind for entry in ledger.entries()]
    assert kinds == ["begin", *["action", "result"] * len(FULL), "end"]
    assert read_history(ledger)[0].live is not None


def test_nothing_to_do_writes_nothing(tmp_path: Path, ledger: Ledger) -> None:
    adapter = ScriptedAdapter(tmp_path)
    roll(adapter, ledger, "a")
    entries = len(ledger.entries())
    assert not roll(adapter, ledger, "a").changed
    assert len(ledger.entries()) == entries


BEFORE_SHIFT = ["send", "stage", "start", "prove"]


@pytest.mark.parametrize("verb", BEFORE_SHIFT)
def test_failure_before_the_shift_leaves_the_old_release(tmp_path: Path, ledger: Ledger, verb: str) -> None:
    adapter = ScriptedAdapter(tmp_path)
    roll(adapter, ledger, "a")
    adapter.did.clear()
    adapter.fail = {verb: TargetError("no", fix="Do something")}
    unhealthy = verb in ("start", "prove")
    with pytest.raises(UnhealthyError if unhealthy else TargetError) as failed:
        roll(adapter, ledger, "b")
    assert failed.value.exit_code == (8 if unhealthy else 6)
    assert "shift" not in adapter.did
    assert adapter.live == 1
    assert list(adapter.releases) == [1]
    assert read_history(ledger)[-1].outcome == "rolled-back"


def test_failure_after_the_shift_goes_back_to_the_release_before(tmp_path: Path, ledger: Ledger) -> None:
    adapter = ScriptedAdapter(tmp_path)
    roll(adapter, ledger, "a")
    adapter.fail = {"settle": TargetError("the new one died")}
    with pytest.raises(UnhealthyError):
        roll(adapter, ledger, "b")
    live = adapter.observe().live
    assert live is not None
    assert (live.digest, live.number) == (wanted("a").digest, 3)
    assert read_history(ledger)[-1].outcome == "rolled-back"


def test_failed_first_deploy_leaves_nothing(tmp_path: Path, ledger: Ledger) -> None:
    adapter = ScriptedAdapter(tmp_path, {"start": TargetError("never ready")})
    with pytest.raises(UnhealthyError):
        roll(adapter, ledger, "a")
    assert not adapter.observe().exists


def test_a_bundle_refused_by_the_target_keeps_its_own_exit_code(tmp_path: Path, ledger: Ledger) -> None:
    adapter = ScriptedAdapter(tmp_path, {"start": BundleError("flipped bit")})
    with pytest.raises(BundleError) as failed:
        roll(adapter, ledger, "a")
    assert failed.value.exit_code == 4


def test_going_back_that_fails_needs_a_person(tmp_path: Path, ledger: Ledger) -> None:
    class Stuck(ScriptedAdapter):
        def run(self, action: Action, given: Given) -> dict[str, Any]:
            if action.arguments.get("release") == 3:  # the way back
                raise TargetError("disk gone")
            return super().run(action, given)

    adapter = Stuck(tmp_path, {})
    roll(adapter, ledger, "a")
    adapter.fail = {"settle": TargetError("no")}
    with pytest.raises(NotRestoredError, match="disk gone") as failed:
        roll(adapter, ledger, "b")
    assert failed.value.exit_code == 11
    assert read_history(ledger)[-1].outcome == "not-restored"


def test_what_cannot_be_removed_is_no_harm_while_the_release_before_serves(
    tmp_path: Path, ledger: Ledger
) -> None:
    adapter = ScriptedAdapter(tmp_path)
    roll(adapter, ledger, "a")
    adapter.fail = {"start": TargetError("no"), "remove": TargetError("disk gone")}
    with pytest.raises(UnhealthyError, match="what was begun is left: disk gone") as failed:
        roll(adapter, ledger, "b")
    assert (failed.value.exit_code, failed.value.fix[:23]) == (8, "churn:a goes on serving")
    assert (adapter.live, list(adapter.releases)) == (1, [1, 2])
    assert read_history(ledger)[-1].outcome == "rolled-back"
    roll(adapter, ledger, "c")
    assert 2 not in adapter.releases


class FullStore(FolderStore):
    """Takes nothing more from the n-th write on; what is there can be read."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"dir://{folder}")
        self.left: int | None = None

    def _written(self) -> None:
        if self.left == 0:
            raise RegistryError(
                "cannot write to the ledger", cause="its disk is full", fix="Free space there"
            )
        self.left = None if self.left is None else self.left - 1

    def write_if_absent(self, key: str, chunks: Iterable[bytes], size: int | None = None) -> bool:
        self._written()
        return super().write_if_absent(key, chunks, size)

    def write_if_match(self, key: str, data: bytes, version: str | None) -> str | None:
        self._written()
        return super().write_if_match(key, data, version)


@pytest.mark.parametrize("writes", range(16))
def test_a_ledger_that_takes_no_more_costs_the_new_release_only(tmp_path: Path, writes: int) -> None:
    """At every entry, and at the lock: what serves is what served, or what was wanted; never 11."""
    store = FullStore(tmp_path / "store")
    adapter, ledger = ScriptedAdapter(tmp_path), Ledger(store, "here/churn")
    roll(adapter, ledger, "a")
    store.left = writes
    before = adapter.observe().live
    with pytest.raises(MlshipError) as failed:
        roll(adapter, ledger, "b")
    assert failed.value.exit_code in (5, 8)
    assert "its disk is full" in str(failed.value)
    now = adapter.observe().live
    assert before is not None
    assert now is not None
    assert now.state == "serving"
    ended = writes >= 14  # only the end of the rollout, or of the lock, could not be written
    assert now.digest == (wanted("b").digest if ended else before.digest)
    store.left = None
    break_lock(ledger)  # of this process, which lives
    roll(adapter, ledger, "b")
    assert not unfinished(ledger)
    assert [r.digest for r in adapter.releases.values() if r.state == "serving"] == [wanted("b").digest]


def test_ctrl_c_goes_back_first(tmp_path: Path, ledger: Ledger) -> None:
    adapter = ScriptedAdapter(tmp_path)
    roll(adapter, ledger, "a")

    class Pressed(ScriptedAdapter):
        pass

    adapter.fail = {"prove": KeyboardInterrupt()}  # type: ignore[dict-item]
    with pytest.raises(KeyboardInterrupt):
        roll(adapter, ledger, "b")
    assert list(adapter.releases) == [1]
    assert read_history(ledger)[-1].outcome == "rolled-back"


def test_a_deployer_that_was_overtaken_stops_at_once(tmp_path: Path, ledger: Ledger) -> None:
    """The far end refuses a lower fence number: nothing is undone, for somebody else is at work there."""
    adapter = ScriptedAdapter(tmp_path)
    roll(adapter, ledger, "a")
    adapter.fail = {"start": LockedError("fenced")}
    adapter.did.clear()
    with pytest.raises(LockedError):
        roll(adapter, ledger, "b")
    assert adapter.did == ["send", "stage"]


@pytest.mark.parametrize("verb", ["start", "prove", "settle"])
def test_who_was_overtaken_undoes_nothing_whatever_fails(tmp_path: Path, ledger: Ledger, verb: str) -> None:
    """Somebody broke the lock meanwhile and removed the candidate, so that what is tried fails of itself."""
    adapter = ScriptedAdapter(tmp_path)
    roll(adapter, ledger, "a")

    class Overtaken(TargetError):
        def __init__(self) -> None:
            super().__init__("no such release")
            break_lock(ledger)
            with locked(Ledger(ledger.store, ledger.prefix), "deploy") as lock:
                close_unfinished(ledger, lock, adapter.observe())

    class Late(dict[str, MlshipError]):
        def pop(self, key: str, *_: object) -> MlshipError:  # type: ignore[override]
            adapter.did.clear()
            return Overtaken()

    adapter.fail = Late({verb: TargetError("see Overtaken")})
    with pytest.raises(LockedError, match="taken by somebody else"):
        roll(adapter, ledger, "b")
    assert adapter.did == []
    assert [r.outcome for r in read_history(ledger)] == ["succeeded", "interrupted"]


def test_a_killed_rollout_is_finished_by_the_next(tmp_path: Path, ledger: Ledger) -> None:
    class Killed(BaseException):
        """Nothing catches it, as nothing catches SIGKILL."""

    adapter = ScriptedAdapter(tmp_path)
    roll(adapter, ledger, "a")
    adapter.fail = {"prove": Killed()}  # type: ignore[dict-item]
    with pytest.raises(Killed):
        roll(adapter, ledger, "b")
    assert [r.stopped_at for r in unfinished(ledger)] != []
    adapter.did.clear()
    roll(adapter, ledger, "b")
    assert not unfinished(ledger)
    assert [r.outcome for r in read_history(ledger)] == ["succeeded", "interrupted", "succeeded"]
    assert adapter.live == 2, "the candidate that was there has been used"


def test_saved_plan_must_still_fit(tmp_path: Path, ledger: Ledger) -> None:
    adapter = ScriptedAdapter(tmp_path)
    saved = make_plan(adapter, wanted("b"), observe(adapter, ledger))
    roll(adapter, ledger, "a")
    with pytest.raises(TargetError, match="no longer fits"):
        roll(adapter, ledger, "b", saved)
    assert adapter.live == 1


@pytest.mark.parametrize("change", ["settings", "keep", "place"])
def test_saved_plan_is_for_the_settings_that_it_was_made_with(
    tmp_path: Path, ledger: Ledger, change: str
) -> None:
    adapter = ScriptedAdapter(tmp_path)
    saved = make_plan(adapter, wanted("b"), observe(adapter, ledger))
    now = wanted("b", keep=5) if change == "keep" else wanted("b")
    if change == "settings":
        now = msgspec.structs.replace(now, settings={"workers": 2})
    if change == "place":
        adapter.port = 8080
    with pytest.raises(TargetError, match="no longer fits"):
        Rollout(adapter, ledger, now, why="deploy").run(saved)
    assert adapter.did == []


def test_what_a_refused_release_wrote_is_in_the_ledger(tmp_path: Path, ledger: Ledger) -> None:
    adapter = ScriptedAdapter(tmp_path, {"prove": UnhealthyError("wrong")})
    with pytest.raises(UnhealthyError, match="--release 1") as failed:
        roll(adapter, ledger, "a")
    assert "--release 1" in failed.value.fix
    assert read_history(ledger)[-1].log == ("release 1 wrote this",)


def test_every_action_carries_a_growing_fence(tmp_path: Path, ledger: Ledger) -> None:
    adapter = ScriptedAdapter(tmp_path)
    roll(adapter, ledger, "a")
    first = set(adapter.fences)
    adapter.fences.clear()
    roll(adapter, ledger, "b")
    assert len(first) == 1
    assert set(adapter.fences) == {max(first) + 1}


def test_the_signature_that_the_gate_took_goes_to_the_target(tmp_path: Path, ledger: Ledger) -> None:
    """And on no way back: what is on the target was let in."""
    adapter, demand = ScriptedAdapter(tmp_path), Demand((), b"signed")
    Rollout(adapter, ledger, wanted("a"), why="deploy", gate=lambda: demand).run()
    assert {found for verb, found in adapter.demands if verb == "stage"} == {demand}
    adapter.demands, adapter.fail = [], {"settle": TargetError("died")}
    with pytest.raises(UnhealthyError):
        Rollout(adapter, ledger, wanted("b"), why="deploy", gate=lambda: demand).run()
    assert [found for verb, found in adapter.demands if verb == "stage"] == [demand, None]


def test_a_gate_is_asked_before_anything_is_seen(tmp_path: Path, ledger: Ledger) -> None:
    adapter = ScriptedAdapter(tmp_path)

    def gate() -> None:
        raise PolicyError("not signed")

    adapter.observe = lambda: pytest.fail("it was observed")
    with pytest.raises(PolicyError):
        Rollout(adapter, ledger, wanted("a"), why="deploy", gate=gate).run()
    assert (adapter.did, ledger.entries()) == ([], [])


def test_numbers_go_on_after_destroy(tmp_path: Path, ledger: Ledger) -> None:
    adapter = ScriptedAdapter(tmp_path)
    roll(adapter, ledger, "a")
    roll(adapter, ledger, None)
    assert not adapter.observe().exists
    rolled = roll(adapter, ledger, "b")
    assert rolled.release is not None
    assert rolled.release.number == 2


def test_errors_are_one_line() -> None:
    error = MlshipError("a\nb", cause="c\nd.", fix="e")
    assert str(error) == "a b: c d. e"


def test_what_watches_the_bytes_is_asked_under_the_lock(tmp_path: Path, ledger: Ledger) -> None:
    """It is around all actions, sees how they end, and is not there where nothing moves."""
    adapter, seen = ScriptedAdapter(tmp_path), []

    @contextmanager
    def passing() -> Iterator[None]:
        seen.append(("begin", list(adapter.did), ledger.store.stat(f"{ledger.prefix}/lock") is not None))
        try:
            yield
        except MlshipError as error:
            seen.append(("failed", type(error)))
            raise
        seen.append(("done", list(adapter.did)))

    for letter in ("a", "a"):
        Rollout(adapter, ledger, wanted(letter), why="deploy", passing=passing).run()
    assert seen == [("begin", [], True), ("done", FULL)]
    adapter.fail = {"start": TargetError("no")}
    with pytest.raises(UnhealthyError):
        Rollout(adapter, ledger, wanted("b"), why="deploy", passing=passing).run()
    assert seen[2:] == [("begin", FULL, True), ("failed", UnhealthyError)]


def test_what_is_forbidden_while_the_lock_was_waited_for_changes_nothing(
    tmp_path: Path, ledger: Ledger
) -> None:
    adapter = ScriptedAdapter(tmp_path)
    roll(adapter, ledger, "a")
    before = len(ledger.entries())

    @contextmanager
    def passing() -> Iterator[None]:
        raise PolicyError("no longer")
        yield

    with pytest.raises(PolicyError):
        Rollout(adapter, ledger, wanted("b"), why="deploy", passing=passing).run()
    assert (adapter.did, adapter.live, len(ledger.entries())) == (FULL, 1, before)
