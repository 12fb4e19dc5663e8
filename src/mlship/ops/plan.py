"""`mlship plan`: what a deploy would do, without a lock or a write."""

from __future__ import annotations

from pathlib import Path

from mlship.ops.context import Context
from mlship.ops.crossing import passage_of
from mlship.ops.forbidden import refuse_forbidden
from mlship.ops.gates import Passed, check_gates
from mlship.ops.service import find_target, open_service
from mlship.result import Result
from mlship.target.deployment import Problem, ReleaseState
from mlship.target.plan import Plan, save_plan
from mlship.target.rollout import make_plan, observe


class PlanReport(Result, frozen=True, kw_only=True):
    """The plan, what runs now, how many bytes would move, what pre-flight found in the way, and what
    the target's gates found."""

    plan: Plan
    live: ReleaseState | None
    changes: int
    bytes_to_send: int
    problems: tuple[Problem, ...]
    gates: tuple[Passed, ...] = ()


def plan(
    ctx: Context, target: str | None = None, ref: str | None = None, *, out: Path | None = None
) -> PlanReport:
    """Compare `ref` (None = what this project builds) with what the target runs; `out` saves the plan.

    Raises PolicyError or BundleError for a bundle that the target does not take, and the errors of opening
    it.
    """
    _, section = find_target(ctx, target)
    bundle = ctx.open_bundle(ref)
    refuse_forbidden(section, bundle)
    service = open_service(ctx, target, bundle_name=bundle.reference.name)
    passed = passage_of(ctx, "deploy", bundle, lambda places: places.target(service)).passed()
    gates = (*passed, *check_gates(ctx, section, bundle).passed)
    problems = service.adapter.check(bundle)
    observed = observe(service.adapter, service.ledger)
    made = make_plan(service.adapter, service.adapter.wanted(bundle), observed)
    if out is not None:
        save_plan(made, out)
    return PlanReport(
        plan=made,
        live=observed.live,
        changes=made.changes,
        bytes_to_send=sum(action.bytes for action in made.actions),
        problems=tuple(problems),
        gates=gates,
    )
