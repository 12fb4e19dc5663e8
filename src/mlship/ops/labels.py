"""What a build can tell of where its bundle may go: from its labels and the project's own rules alone."""

from __future__ import annotations

from mlship.bundle.document import row_labels
from mlship.config import Project
from mlship.errors import PolicyError
from mlship.ops.context import Context
from mlship.ops.places import Places
from mlship.trust.residency import Crossing, Label, Verdict, refusal, with_examples


def check_labels(ctx: Context) -> None:
    """Raise PolicyError if the bundle may not even be here, or may go to none of the registries and targets
    of mlship.toml that state a domain; where it may go to some, the others are warned of."""
    places = Places(ctx)
    if ctx.project is None or not places.used:
        return
    project, name = ctx.project, str(ctx.project.reference)
    here = _refused(project, places, places.own_domain, stays=True)
    if here:
        raise refusal(here, name, "this project")
    ends = _ends(project)
    refused = {end: verdict for end, domain in ends.items() if (verdict := _refused(project, places, domain))}
    errors = [refusal(verdict, name, end) for end, verdict in refused.items()]
    if errors and len(refused) == len(ends):
        raise _nowhere(errors)
    ctx.warnings.extend(str(error) for error in errors)


def _ends(project: Project) -> dict[str, str]:
    """The domain of each place that mlship.toml states one of."""
    return {
        f"the {kind} {name}": section.domain
        for kind, sections in (("registry", project.registries), ("target", project.targets))
        for name, section in sections.items()
        if section.domain
    }


def _refused(project: Project, places: Places, domain: str, *, stays: bool = False) -> Verdict | None:
    bundle, rows = (
        frozenset(Label(*pair) for pair in labels.items())
        for labels in (project.bundle.labels, row_labels(project))
    )
    policies = [places.own_policy] if places.own_policy else []
    decision = with_examples(Crossing(places.own_domain, domain, bundle, stays), rows, policies)
    return None if decision.allowed else decision.verdict


def _nowhere(errors: list[PolicyError]) -> PolicyError:
    first = errors[0]
    if len(errors) > 1:
        return PolicyError(f"{first.what}, nor to {len(errors) - 1} more", cause=first.cause, fix=first.fix)
    return first
