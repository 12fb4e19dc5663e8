"""The rollout: one algorithm for every adapter.

observe -> plan -> lock -> observe again -> act, each action journalled before and after. Any failure before
the shift leaves the old release untouched; after it, the core plans back to the release before. Whatever a
killed rollout left behind is part of what the next one observes, so that its plan finishes or undoes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from threading import RLock
from typing import TYPE_CHECKING, Any

import msgspec

from mlship.errors import (
    BundleError,
    LockedError,
    MlshipError,
    NotRestoredError,
    PolicyError,
    RegistryError,
    TargetError,
    UnhealthyError,
    UsageError,
)
from mlship.progress import SILENT, Progress
from mlship.result import Result, to_json
from mlship.target.again import is_back, wanted_before
from mlship.target.deployment import Deployment, Proof, ReleaseState, Wanted
from mlship.target.history import last_release
from mlship.target.journal import Journal, Why, begin, close_unfinished, unfinished
from mlship.target.ledger import Ledger
from mlship.target.ledger_place import clear_ledger
from mlship.target.lock import Lock, locked
from mlship.target.plan import Action, Plan
from mlship.target.protocol import Adapter, Given, at_host, hosts_of
from mlship.target.turns import each_host_alone, in_turns

if TYPE_CHECKING:
    from mlship.bundle.open import OpenBundle
    from mlship.trust.demand import Demand

_UNDO_INDEX = 1000  # actions of the way back are numbered from here, apart from those of the plan
_LAST_LINES = 200  # of what a refused release wrote, kept in the ledger


class Rolled(Result, frozen=True, kw_only=True):
    """How a rollout ended. `release` is what the target was seen to serve afterwards, `before` what was live
    until then. `proofs`: of each host, where there are several; `proof` is the one with the largest error
    then.
    """

    changed: bool
    actions: tuple[Action, ...]
    release: ReleaseState | None
    before: ReleaseState | None
    observed: Deployment
    proof: Proof | None = None
    proofs: dict[str, Proof] = {}


class Rollout:
    """One rollout of `wanted` (None = remove) as one service, on behalf of `why`.

    `gate` raises if rules forbid `wanted`: it is asked first, whatever there is to do, and may return a
    signature that the target is to check again. `passing` is around all that a plan does, and may still
    forbid it: rules may have changed while the lock was waited for. `check` is the pre-flight: it raises what
    stands in the way. `purge` (of a removal) leaves nothing on the target, and no ledger.
    """

    def __init__(
        self,
        adapter: Adapter,
        ledger: Ledger,
        wanted: Wanted | None,
        *,
        why: Why,
        bundle: OpenBundle | None = None,
        gate: Callable[[], Demand | None] | None = None,
        check: Callable[[], None] | None = None,
        passing: Callable[[], AbstractContextManager[object]] = nullcontext,
        progress: Progress = SILENT,
        lock_wait: float = 0.0,
        timeout: float | None = None,
        purge: bool = False,
    ) -> None:
        self.adapter, self.ledger, self.wanted, self.why = adapter, ledger, wanted, why
        self.bundle, self.gate, self.check, self.progress = bundle, gate, check, progress
        self.passing = passing
        self.lock_wait, self.timeout, self.purge = lock_wait, timeout, purge
        self.proofs: dict[str, Proof] = {}
        self._golden: Mapping[str, Any] | None = None
        self._turn = RLock()  # of hosts side by side, one speaks at a time
        self.demand: Demand | None = None

    def run(self, saved: Plan | None = None) -> Rolled:
        """Carry the rollout out. With `saved`, refuse unless the target still is as that plan found it."""
        if self.gate:
            self.demand = self.gate()
        observed = observe(self.adapter, self.ledger)
        plan = self._plan(observed)
        _still_fits(saved, plan)
        if self.check:
            self.check()
        if not plan.actions and not self.purge and not unfinished(self.ledger):
            return self._ended(plan, observed, observed)
        with locked(self.ledger, self.why, wait=self.lock_wait, above=observed.fence) as lock:
            before = observe(self.adapter, self.ledger)
            plan = self._plan(before)
            _still_fits(saved, plan)
            close_unfinished(self.ledger, lock, before)
            if plan.actions:
                with self.passing():
                    done = self._act(plan, before, lock)
            else:
                done = self._ended(plan, before, before)
            if self.purge:
                lock.check()
                self.ledger.erase()  # under the lock, so that it is nobody else's new history
        if self.purge:
            clear_ledger(self.adapter)
        return done

    def _plan(self, observed: Deployment) -> Plan:
        """A purge also destroys what is left of a service that is gone already."""
        if not self.purge:
            return make_plan(self.adapter, self.wanted, observed)
        plan = make_plan(self.adapter, None, observed.with_remains())
        return msgspec.structs.replace(plan, actions=tuple(purging(action) for action in plan.actions))

    def _act(self, plan: Plan, before: Deployment, lock: Lock) -> Rolled:
        journal = begin(self.ledger, lock, plan, before, self.why)
        try:
            self._run_all(plan, journal)
            after = observe(self.adapter, self.ledger)
            self._confirm(after)
        except (Exception, KeyboardInterrupt) as error:
            if isinstance(error, LockedError):
                raise
            self._undo(before, journal, error, plan.release)
            raise
        journal.end("succeeded", after)
        return self._ended(plan, before, after)

    def _run_all(self, plan: Plan, journal: Journal) -> None:
        results: dict[str, dict[str, Any]] = {}
        self.progress.phase("rollout", len(plan.actions))
        with self._source() as bundle:
            given = Given(journal.lock.fence, bundle, results, self.progress, self.timeout, self.demand)
            in_turns(plan.actions, lambda index, action: self._do(index, action, journal, given, results))

    def _source(self) -> AbstractContextManager[OpenBundle | None]:
        """What is sent, which for several hosts is fetched once."""
        if self.bundle is None or not hosts_of(self.adapter):
            return nullcontext(self.bundle)
        from mlship.bundle.fetched_once import fetched_once

        return fetched_once(self.bundle)

    def _do(
        self, index: int, action: Action, journal: Journal, given: Given, results: dict[str, dict[str, Any]]
    ) -> None:
        resolved, adapter = resolve(action, results), at_host(self.adapter, action.host)
        with journal.step(index, resolved) as step, _naming(action.host):
            step.result = (
                self._prove(adapter, action) if action.verb == "prove" else adapter.run(resolved, given)
            )
        if action.verb == "settle":
            with _naming(action.host):
                self._check_served(step.result)
        results[action.name] = step.result
        with self._turn:
            self.progress.say(f"{action.verb} {action.subject}")
            self.progress.advance()

    def _prove(self, adapter: Adapter, action: Action) -> dict[str, Any]:
        """The golden examples on the candidate. Raises UnhealthyError, with the first differences, if they
        differ.
        """
        number = int(action.arguments["release"])
        proof = adapter.prove(number, self._golden_of(adapter, number))
        if self.wanted is None or proof.digest != self.wanted.digest:
            raise UnhealthyError(
                f"the candidate serves {proof.digest}, which was not asked for", fix=_look_at(number)
            )
        if not proof.holds:
            raise UnhealthyError(
                f"golden check failed: {len(proof.differences)} answers differ from the build's",
                cause=proof.differences[0] if proof.differences else "no rows were answered",
                fix=_look_at(number),
            )
        with self._turn:
            self.proofs[action.host] = proof
            where = f" on {action.host}" if action.host else ""
            self.progress.say(
                f"{proof.rows} golden rows answered as at build{where}, largest error {proof.max_abs:.1e}"
            )
        return dict(msgspec.to_builtins(proof))

    def _golden_of(self, adapter: Adapter, number: int) -> Mapping[str, Any]:
        from mlship.target.golden import golden_of

        if self.bundle is None:
            return adapter.golden(number)
        with self._turn:
            if self._golden is None:
                self._golden = golden_of(self.bundle)
            return self._golden

    def _check_served(self, settled: dict[str, Any]) -> None:
        """What the endpoint answers with must be what was asked for."""
        served = settled.get("digest")
        if self.wanted is None or served != self.wanted.digest:
            raise UnhealthyError(f"the endpoint answers with {served}, not as asked for")

    def _confirm(self, after: Deployment) -> None:
        """Success is what was observed: the wanted digest serving, or nothing left of a removed service."""
        if after.unreached:
            lost = after.unreached[0]
            raise TargetError(f"{lost.host} can no longer be reached", cause=lost.trouble)
        if self.wanted is None:
            if after.exists or (self.purge and after.left):
                raise TargetError("something of the service is still there", fix="Run mlship destroy again")
            return
        if not after.runs(self.wanted):
            live = after.live
            seen = f"{live.reference} is {live.state}" if live else "nothing is live"
            raise UnhealthyError(
                "the target does not serve what was deployed", cause="; ".join((seen, *after.problems))
            )

    def _undo(self, before: Deployment, journal: Journal, error: BaseException, release: int | None) -> None:
        """Plan back to what was live before; raises what the user is to see, where `error` is not that. What
        is seen afterwards counts, not whether each step went well: what begun things left, the next deploy
        removes. Who has lost the lock changes nothing more, whatever went wrong: somebody else is at work."""
        try:
            journal.lock.check()
        except (RegistryError, TargetError) as unread:
            raise _not_restored(error, unread, before) from error
        log = self._last_words(release)
        unhealthy = isinstance(error, MlshipError) and _is_unhealthy(error, journal.phase)
        self.progress.say("going back to the release before" if before.live else "removing what was begun")
        failed, after = self._gone_back(before, journal)
        if after is None or not is_back(before, after):
            _end(journal, "not-restored", after, str(error), log)
            if failed:
                raise _not_restored(error, failed, before) from error
            where = "".join(f"; {at.host} cannot be reached" for at in after.unreached) if after else ""
            raise NotRestoredError(
                f"{error}; the release before does not serve{where}", fix=_restore_fix(before)
            ) from error
        _end(journal, "rolled-back", after, str(error) or type(error).__name__, log)
        if isinstance(error, MlshipError):
            if failed:
                error.cause = "; ".join(filter(None, (error.cause, f"what was begun is left: {failed.what}")))
            if unhealthy:
                fix = _kept(before) + (error.fix or _look_at(release))
                raise UnhealthyError(error.what, cause=error.cause, fix=fix) from error
            error.fix = (_kept(before) + error.fix).strip()

    def _gone_back(
        self, before: Deployment, journal: Journal
    ) -> tuple[MlshipError | None, Deployment | None]:
        """What went wrong on the way back, and what is there then, if it can be seen."""
        failed: MlshipError | None = None
        try:
            self._go_back(before, journal)
        except LockedError:
            raise
        except MlshipError as error:
            failed = error
        try:
            return failed, observe(self.adapter, self.ledger)
        except MlshipError as error:
            return failed or error, None

    def _go_back(self, before: Deployment, journal: Journal) -> None:
        """On every host that can be reached, even if it fails on another; raises the first error then."""
        observed = observe(self.adapter, self.ledger).of_reached()
        keep = self.wanted.keep if self.wanted else 2
        back = make_plan(self.adapter, wanted_before(before, observed, keep), observed)
        given = Given(journal.lock.fence, None, {}, self.progress, self.timeout)
        results: dict[str, dict[str, Any]] = {}

        def do(index: int, action: Action) -> None:
            resolved = resolve(action, results)
            with journal.step(_UNDO_INDEX + index, resolved, must=False) as step, _naming(action.host):
                step.result = at_host(self.adapter, action.host).run(resolved, given)
            results[action.name] = step.result

        # The release before was proved when it was deployed, and proves itself again before it is ready.
        failed = each_host_alone([action for action in back.actions if action.verb != "prove"], do)
        for error in failed.values():
            raise error

    def _last_words(self, release: int | None) -> list[str]:
        """What the release that failed wrote, before it and its log are removed."""
        if release is None or "logs" not in self.adapter.offers:
            return []
        try:
            return list(self.adapter.logs(release, _LAST_LINES))
        except MlshipError:  # it never came so far as to write any
            return []

    def _ended(self, plan: Plan, before: Deployment, observed: Deployment) -> Rolled:
        return Rolled(
            changed=bool(plan.actions),
            actions=plan.actions,
            release=observed.live if self.wanted else None,
            before=before.live,
            observed=observed,
            proof=max(self.proofs.values(), key=lambda proof: proof.max_abs, default=None),
            proofs=self.proofs if hosts_of(self.adapter) else {},
        )


def observe(adapter: Adapter, ledger: Ledger) -> Deployment:
    """What the target shows, with release numbers that go on from the ledger's."""
    return adapter.observe().numbered_from(last_release(ledger))


def make_plan(adapter: Adapter, wanted: Wanted | None, observed: Deployment) -> Plan:
    """The adapter's actions as a Plan that knows what it depends on."""
    actions = adapter.plan(wanted, observed)
    numbers = [int(a.arguments["release"]) for a in actions if a.verb == "start"]
    return Plan(
        target=adapter.place.name,
        service=adapter.place.service,
        basis=observed.basis,
        wanted=wanted,
        actions=actions,
        release=numbers[-1] if numbers else None,
    )


def purging(action: Action) -> Action:
    """A `destroy` that leaves nothing; any other action as it is."""
    if action.verb != "destroy":
        return action
    arguments = {**action.arguments, "purge": True}
    shown, purging = (to_json(given).decode() for given in (action.arguments, arguments))
    return msgspec.structs.replace(
        action, arguments=arguments, command=action.command.replace(shown, purging)
    )


def resolve(action: Action, results: dict[str, dict[str, Any]]) -> Action:
    """Put results of earlier actions in place of arguments of the form `{name.key}`."""

    def value(given: Any) -> Any:
        if isinstance(given, str) and given.startswith("{") and given.endswith("}"):
            name, _, key = given[1:-1].partition(".")
            return results[name][key]
        return given

    return msgspec.structs.replace(action, arguments={k: value(v) for k, v in action.arguments.items()})


def _still_fits(saved: Plan | None, now: Plan) -> None:
    if saved is None:
        return
    if (saved.target, saved.service) != (now.target, now.service):
        raise UsageError(f"the plan is for {saved.target}/{saved.service}, not {now.target}/{now.service}")
    fix = "Plan again, read it, and deploy that plan"
    if saved.basis != now.basis:
        cause = "the target has changed since it was made"
        raise TargetError("the saved plan no longer fits", cause=cause, fix=fix)
    if saved.promise != now.promise:
        cause = "settings of the target, or mlship itself, have changed since it was made"
        raise TargetError("the saved plan no longer fits", cause=cause, fix=fix)


@contextmanager
def _naming(host: str) -> Iterator[None]:
    """An error of what is done on one of several hosts says on which."""
    try:
        yield
    except MlshipError as error:
        if host and host not in error.what:
            error.what = f"{host}: {error.what}"
        raise


def _is_unhealthy(error: MlshipError, phase: str) -> bool:
    """Failures of the candidate itself are exit 8; those of bundle, rules and way keep their own."""
    if isinstance(error, (BundleError, PolicyError, UnhealthyError)):
        return isinstance(error, UnhealthyError)
    return phase in ("start", "prove", "shift", "settle")


def _end(journal: Journal, outcome: str, after: Deployment | None, error: str, log: list[str]) -> None:
    """A ledger that takes no more shows a rollout without an end, which the next one writes."""
    with suppress(RegistryError, TargetError):
        journal.end(outcome, after, error, log)


def _look_at(release: int | None) -> str:
    if release is None:
        return "Correct the bundle and deploy again"
    return f"See mlship logs --release {release} for what it wrote, then correct the bundle and deploy again"


def _kept(before: Deployment) -> str:
    serves = before.live is not None and before.live.state == "serving"
    return f"{before.live.reference} goes on serving. " if before.live and serves else ""


def _not_restored(error: BaseException, failed: MlshipError, before: Deployment) -> NotRestoredError:
    """`failed` is why going back failed after `error`: a host that fell says the same of both."""
    too = "" if str(failed) == str(error) else f": {failed}"
    return NotRestoredError(f"{error}; going back failed too{too}", fix=_restore_fix(before))


def _restore_fix(before: Deployment) -> str:
    wanted = f" {before.live.reference}" if before.live else ""
    return f"Look at mlship status and logs, then mlship repair; before it,{wanted or ' nothing'} was live"
