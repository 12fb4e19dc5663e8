"""`mlship deploy`: bring a target from what it runs to a bundle, proved before it has the traffic."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlship.bundle.open import OpenBundle
from mlship.errors import TargetError, UsageError
from mlship.ops.context import Context
from mlship.ops.crossing import passage_of
from mlship.ops.forbidden import refuse_forbidden
from mlship.ops.gates import LetIn, Passed, check_gates
from mlship.ops.service import Service, find_target, open_service
from mlship.result import Result
from mlship.target.deployment import Endpoint, Problem, Proof, ReleaseState
from mlship.target.plan import Action, Plan, load_plan
from mlship.target.rollout import Rolled, Rollout

if TYPE_CHECKING:
    from mlship.trust.demand import Demand


class DeployReport(Result, frozen=True, kw_only=True):
    """What changed, and what the target was seen to serve afterwards; `before` is what was live until then.
    `proofs`: of each host, where a target has several; `proof` is the one with the largest error then.
    `gates` are those of the target that let the bundle through."""

    target: str
    service: str
    changed: bool
    release: ReleaseState | None
    actions: tuple[Action, ...]
    endpoints: tuple[Endpoint, ...]
    proof: Proof | None = None
    proofs: dict[str, Proof] = {}
    before: ReleaseState | None = None
    gates: tuple[Passed, ...] = ()


def deploy(
    ctx: Context,
    target: str | None = None,
    ref: str | None = None,
    plan_file: Path | None = None,
    *,
    lock_wait: float = 0.0,
) -> DeployReport:
    """Deploy `ref` (None = what this project builds), or a saved plan if the target is still as it found
    it.

    Raises UnhealthyError (rolled back), NotRestoredError, LockedError, BundleError, PolicyError,
    TargetError, UsageError.
    """
    saved = load_plan(plan_file) if plan_file else None
    target = f"{saved.target}/{saved.service}" if saved and target is None else target
    find_target(ctx, target)
    bundle = ctx.open_bundle(_planned(saved, ref) or ref)
    service = open_service(ctx, target, bundle_name=bundle.reference.name)
    rolled, gates = roll_to(ctx, service, bundle, saved=saved, lock_wait=lock_wait)
    return report(service, rolled, gates)


def roll_to(
    ctx: Context, service: Service, bundle: OpenBundle, *, saved: Plan | None = None, lock_wait: float = 0.0
) -> tuple[Rolled, tuple[Passed, ...]]:
    """Rules, pre-flight and rollout of one bundle; and what its gates found."""
    wanted = service.adapter.wanted(bundle)
    if saved and saved.wanted:  # opened by its digest, but called as it was when it was planned
        wanted = wanted.called(saved.wanted.reference)
    passage = passage_of(ctx, "deploy", bundle, lambda places: places.target(service))
    passed: list[Passed] = []

    def gate() -> Demand | None:
        passage.check()
        let_in = _let_in(ctx, service.target, bundle)
        passed[:] = let_in.passed
        return let_in.demand

    rollout = Rollout(
        service.adapter,
        service.ledger,
        wanted,
        why="deploy",
        bundle=bundle,
        gate=gate,
        passing=passage.open,
        check=lambda: refuse(ctx, service.adapter.check(bundle)),
        progress=ctx.progress,
        lock_wait=lock_wait,
        timeout=ctx.timeout,
    )
    return rollout.run(saved), tuple(passed)


def _let_in(ctx: Context, target: str, bundle: OpenBundle) -> LetIn:
    _, section = find_target(ctx, target)
    refuse_forbidden(section, bundle)
    let_in = check_gates(ctx, section, bundle)
    for passed in let_in.passed:
        ctx.progress.say(f"{passed.gate}: {passed.found}")
    return let_in


def refuse(ctx: Context, found: list[Problem]) -> None:
    """Raise TargetError for the first problem of a pre-flight (and count the others), after its warnings."""
    warnings = [f"{problem.what}. {problem.fix}" for problem in found if not problem.blocks]
    ctx.warnings.extend(warning for warning in warnings if warning not in ctx.warnings)
    problems = [problem for problem in found if problem.blocks]
    if problems:
        more = f" (and {len(problems) - 1} more: mlship plan lists them)" if len(problems) > 1 else ""
        raise TargetError(problems[0].what + more, fix=problems[0].fix)


def report(service: Service, rolled: Rolled, gates: tuple[Passed, ...] = ()) -> DeployReport:
    """A rollout's end as the user sees it."""
    return DeployReport(
        target=service.target,
        service=service.name,
        changed=rolled.changed,
        release=rolled.release,
        actions=rolled.actions,
        endpoints=rolled.observed.endpoints,
        proof=rolled.proof,
        proofs=rolled.proofs,
        before=rolled.before,
        gates=gates,
    )


def _planned(saved: Plan | None, ref: str | None) -> str | None:
    if saved is None:
        return None
    if ref is not None:
        raise UsageError(
            "a saved plan already says which bundle", fix="Leave the reference out, or leave --plan out"
        )
    if saved.wanted is None:
        raise UsageError("the saved plan removes the service", fix="Use mlship destroy")
    name = saved.wanted.reference.partition("@")[0].partition(":")[0]
    return f"{name}@{saved.wanted.digest}"
